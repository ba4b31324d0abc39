"""LoRA adapters: chains that are merged into the backbone's weights or stacked on top of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError
from harness.files import read_json

if TYPE_CHECKING:
    import torch

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_PREFIX = "base_model.model."


def check_adapter(folder: Path) -> None:
    """Refuse a folder that holds no LoRA adapter with safetensors weights.

    Raises:
        BadInputError: What is missing.
    """
    settings, weights = (folder / name for name in ADAPTER_FILES)
    if not settings.is_file():
        raise BadInputError(
            f"model.adapters: {folder} holds no adapter_config.json; give a PEFT adapter's folder, "
            "or hub://organisation/model@revision"
        )
    kind = read_json(settings).get("peft_type")
    if kind != "LORA":
        raise BadInputError(
            f"model.adapters: {folder} is of type {kind}; only LORA adapters can be merged"
        )
    if not weights.is_file():
        raise BadInputError(
            f"model.adapters: {folder} holds no adapter_model.safetensors; convert the weights "
            "(pickle files are never loaded)"
        )


def adapter_base(folder: Path) -> str:
    """The base model that an adapter names: a folder or a hub name.

    Raises:
        BadInputError: If it names none.
    """
    base = read_json(folder / ADAPTER_FILES[0]).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise BadInputError(
            f"{folder} names no base model; give model.path=BASE model.adapters=[{folder}]"
        )
    return base


def adapter_parameters(folder: Path) -> int:
    """How many numbers the matrices of an adapter hold."""
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_FILES[1], framework="np") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118


def apply_adapters(
    network: torch.nn.Module, folders: Sequence[Path], *, merge_last: bool
) -> torch.nn.Module:
    """Put LoRA adapters on a network: all but the last merged, the last stacked or merged.

    An adapter that was trained on a model with a head (`…ForCausalLM`) fits its bare backbone too.

    Args:
        network: The backbone.
        folders: Adapters in order; see `check_adapter`.
        merge_last: Whether the last one is merged as well.

    Returns:
        The network with the adapters, in evaluation mode.

    Raises:
        BadInputError: If an adapter does not fit the network, tensor by tensor.
    """
    for number, folder in enumerate(folders):
        peft = _stack(network, folder)
        if number + 1 < len(folders) or merge_last:
            network = peft.merge_and_unload()
        else:
            network = peft.get_base_model()  # the backbone's own interface, LoRA layers inside
    return network.eval()


def _stack(network: torch.nn.Module, folder: Path) -> Any:
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = LoraConfig.from_pretrained(str(folder))
        config.inference_mode = True
        config.task_type = None  # the backbone stays as it is, whatever it was trained for
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = get_peft_model(network, config)
        tensors = _renamed(load_file(folder / ADAPTER_FILES[1]), set(model.state_dict()), folder)
        loaded: Any = set_peft_model_state_dict(model, tensors)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadInputError(
            f"the adapter {folder} cannot be put on the model: {' '.join(str(error).split())[:200]}"
        ) from error
    missing = sorted(key for key in loaded.missing_keys if "lora_" in key)
    if missing:
        raise BadInputError(
            f"the adapter {folder} lacks {missing[0]} and {len(missing) - 1} more tensors; fetch "
            "it again"
        )
    return model


def _renamed(
    tensors: dict[str, torch.Tensor], known: set[str], folder: Path
) -> dict[str, torch.Tensor]:
    """An adapter's tensors under the names that they have in this network.

    Trained on a model with a head, their names hold one module more (`model.`, `transformer.`).
    """
    plain = {name.replace(".default.", ".").replace(".base_layer.", ".") for name in known}

    def fitting(name: str) -> str:
        rest = name.removeprefix(_PREFIX)
        shorter = _PREFIX + rest.partition(".")[2]
        return next((option for option in (name, shorter) if option in plain), "")

    renamed = {fitting(name): tensor for name, tensor in tensors.items()}
    if "" in renamed or len(renamed) != len(tensors):
        stranger = next((name for name in tensors if not fitting(name)), next(iter(tensors)))
        raise BadInputError(
            f"the adapter {folder} holds {stranger}, which the model has no place for; it belongs "
            "to another backbone"
        )
    return renamed
