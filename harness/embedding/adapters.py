"""LoRA adapters: chains that are merged into the backbone's weights or stacked on top of them."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError, brief
from harness.files import read_json

if TYPE_CHECKING:
    import torch

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_PREFIX = "base_model.model."
_LORA = re.compile(rf"{re.escape(_PREFIX)}(.+)\.lora_[AB]\.weight")


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
    """The base model that an adapter names, as `locate` takes it.

    A folder counts by its absolute path, or beside the adapter; any other name is the hub's, so
    that what lies in the working directory is never taken for it.

    Raises:
        BadInputError: If it names none.
    """
    base = read_json(folder / ADAPTER_FILES[0]).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise BadInputError(
            f"{folder} names no base model; give model.path=BASE model.adapters=[{folder}]"
        )
    local = Path(base) if Path(base).is_absolute() else folder.parent / base
    return str(local) if local.is_dir() else f"hub://{base}"


def adapter_parameters(folder: Path) -> int:
    """How many numbers the matrices of an adapter hold."""
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_FILES[1], framework="np") as tensors:
        names = list(tensors.keys())
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)


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


def _stack(network: Any, folder: Path) -> Any:
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    modules = {name for name, _ in network.named_modules()}
    try:
        tensors = load_file(folder / ADAPTER_FILES[1])
        config: Any = LoraConfig.from_pretrained(str(folder))
        outer = _outer_module(_targets(config, tensors, folder), modules, folder)
        for patterns in ("rank_pattern", "alpha_pattern"):
            setattr(config, patterns, _fitting(getattr(config, patterns), outer, modules, folder))
        if not isinstance(config.target_modules, str):  # else a pattern, or all linear layers
            whole = config.target_modules or ()
            config.target_modules = {name.removeprefix(outer) for name in whole}
        config.inference_mode = True
        config.task_type = None  # the backbone stays as it is, whatever it was trained for
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = get_peft_model(network, config)
        renamed = {
            _PREFIX + name.removeprefix(_PREFIX).removeprefix(outer): tensor
            for name, tensor in tensors.items()
        }
        loaded: Any = set_peft_model_state_dict(model, renamed)
    except BadInputError:
        raise
    except Exception as error:
        raise BadInputError(
            f"the adapter {folder} cannot be put on the model, it may belong to another backbone: "
            f"{brief(error)}"
        ) from error
    missing = sorted(key for key in loaded.missing_keys if "lora_" in key)
    if missing or loaded.unexpected_keys:
        raise BadInputError(
            f"the adapter {folder} does not fit the model at "
            f"{(missing or loaded.unexpected_keys)[0]}; fetch it again"
        )
    return model


def _targets(config: Any, tensors: Mapping[str, Any], folder: Path) -> list[str]:
    """The modules that an adapter is for, one for each tensor.

    Raises:
        BadInputError: If it holds more than pairs of matrices on linear layers.
    """
    odd = [name for name in ("use_dora", "modules_to_save") if getattr(config, name, None)]
    if config.bias != "none":
        odd.append(f"bias={config.bias}")
    matches = {name: _LORA.fullmatch(name) for name in tensors}
    odd += [name for name, match in matches.items() if match is None][:1]
    if odd:
        raise BadInputError(
            f"the adapter {folder} uses {odd[0]}, which is not supported; merge it into its base "
            "with PEFT and give the merged folder as model.path"
        )
    return [match[1] for match in matches.values() if match is not None]


def _outer_module(targets: Sequence[str], modules: set[str], folder: Path) -> str:
    """The module that holds the backbone in the model that the adapter was trained on, or "".

    Trained on a model with a head, an adapter's names hold one module more (`model.`,
    `transformer.`).

    Raises:
        BadInputError: If the backbone has no place for one of the tensors.
    """
    inner = not targets or any(name in modules for name in targets)
    outer = "" if inner else targets[0].partition(".")[0] + "."
    for name in targets:
        if not name.startswith(outer) or name.removeprefix(outer) not in modules:
            raise BadInputError(
                f"the adapter {folder} holds {name}, which the model has no place for; it belongs "
                "to another backbone"
            )
    return outer


def _fitting(
    patterns: Mapping[str, int], outer: str, modules: set[str], folder: Path
) -> dict[str, int]:
    """Per-module settings under the backbone's names, each of which must match a module."""
    fitting = {pattern.removeprefix(outer): value for pattern, value in patterns.items()}
    for pattern in fitting:
        if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in modules):
            raise BadInputError(
                f"the adapter {folder} sets {pattern!r} apart, which is no module of the model"
            )
    return fitting
