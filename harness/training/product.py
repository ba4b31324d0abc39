"""What a step leaves: a transformers folder, adapters where there are any, and a record."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.embedding.network import quiet
from harness.errors import BadInputError
from harness.files import read_json, write_text
from harness.training.checkpoint import FOLDER as CHECKPOINTS
from harness.training.checkpoint import LOG

if TYPE_CHECKING:
    from harness.training.network import Decoder

RECORD = "training.json"
ADAPTER = "adapter"
_BESIDE = ".new-"


def finished(
    folder: Path, identity: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The record of a step that has been made here; None where it has not.

    Args:
        folder: Where it would be.
        identity: All that decides what it makes.
        defaults: Of settings: what a record was made with that is older than a setting.

    Raises:
        BadInputError: If the folder holds the product of another step.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    record = read_json(path, remedy=f"remove {folder} and train again")
    kept = dict(record.get("identity") or {})
    if isinstance(kept.get("settings"), dict):
        wanted = identity.get("settings", {})
        added = {name: value for name, value in (defaults or {}).items() if name in wanted}
        kept["settings"] = added | kept["settings"]
    if kept != json.loads(json.dumps(identity)):
        raise BadInputError(
            f"{folder} holds a model that was trained with other settings or data; choose another "
            "output, or remove it"
        )
    return record


def refuse_to_replace(folder: Path, *, start: Path | None) -> None:
    """Keep a step from writing over a model that is not its own.

    Args:
        folder: Where its product would go.
        start: The folder of the model that it starts from, if there is one.

    Raises:
        BadInputError: If that is the same, or holds a model that no step has left or begun there.
    """
    if start is not None and folder.resolve() == start.resolve():
        raise BadInputError(f"output={folder} is the model that this starts from; name another one")
    if any((folder / name).exists() for name in (RECORD, CHECKPOINTS, LOG)):
        return
    if (folder / "config.json").exists() or any(folder.glob("*.safetensors")):
        raise BadInputError(f"output={folder} holds another model; name another folder")


def save(decoder: Decoder, tokenizer: Any, folder: Path, *, dtype: str, base: str | None) -> None:
    """Write the trained model, loadable by `model=local model.path=FOLDER`.

    Adapters are merged into the weights; as PEFT reads them they lie in `adapter/` too. Files
    appear whole, `config.json` last: a folder without it is no model.

    Args:
        decoder: The network after its last step; its adapters are merged here.
        tokenizer: Its tokenizer.
        folder: Where to.
        dtype: Of the weights that are written.
        base: The model that adapters belong to, for PEFT; None where no folder holds it.
    """
    import torch
    from transformers import GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{_BESIDE}*"):  # of a process that was killed here
        shutil.rmtree(leftover, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(dir=folder, prefix=_BESIDE))
    try:
        network = decoder.network
        if decoder.peft is not None:
            about = decoder.peft.peft_config["default"]
            about.base_model_name_or_path = base or ""  # PEFT would fill None in
            decoder.peft.save_pretrained(str(beside / ADAPTER))
            network = decoder.peft.merge_and_unload()
        network.to(device="cpu", dtype=getattr(torch, dtype))
        # Published models have settings of generation that may be read but not written.
        network.generation_config = GenerationConfig.from_model_config(network.config)
        with quiet():
            network.save_pretrained(beside, safe_serialization=True)
            tokenizer.save_pretrained(beside)
        files = [file for file in beside.iterdir() if file.name != "config.json"]
        for file in [*files, beside / "config.json"]:
            if file.is_file():
                file.chmod(0o644)
            target = folder / file.name
            if target.is_dir():
                shutil.rmtree(target)
            file.replace(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `training.json`: the step is done."""
    write_text(folder / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
