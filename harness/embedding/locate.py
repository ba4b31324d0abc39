"""Where a model is: a folder, a folder of an installed package, or a repository of the hub."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import BadInputError
from harness.files import read_json

_SETTINGS = ("*.json", "*.txt", "*.model")
SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def locate(
    reference: str,
    *,
    setting: str,
    patterns: Sequence[str] = ("*.safetensors",),
    remedy: str | None = None,
) -> Path:
    """The local folder that a reference means.

    Args:
        reference: A folder, `pkg://package/folder` inside an installed package, or
            `hub://organisation/model@revision` (the revision may be left out).
        setting: The setting that gave it, for messages.
        patterns: Files wanted from the hub besides the small ones of settings and tokenizer; the
            safetensors files of subfolders come along.
        remedy: What to give instead when the hub does not have it; the setting and a folder when
            None.

    Raises:
        BadInputError: If the package is not installed or the hub does not have it.
    """
    if reference.startswith("pkg://"):
        return _package_folder(reference, setting)
    if reference.startswith("hub://"):
        name, _, revision = reference.removeprefix("hub://").partition("@")
        return _hub_folder(name, revision or None, setting, patterns, remedy)
    return Path(reference).expanduser()


def locate_tensors(
    reference: str, wanted: Callable[[Path], Sequence[Sequence[str]]], *, setting: str
) -> Path:
    """Like `locate`; of a repository of the hub only the files with certain tensors are fetched.

    Args:
        reference: See `locate`.
        wanted: From the folder with the settings alone to the tensors: for each, the names that it
            may have, best first.
        setting: See `locate`.

    Raises:
        BadInputError: See `locate`.
    """
    if not reference.startswith("hub://"):
        return locate(reference, setting=setting)
    folder = locate(reference, setting=setting, patterns=())
    if not is_sharded(folder):
        return locate(reference, setting=setting)
    files = weight_map(folder)
    found = (
        next((files[name] for name in names if name in files), None) for names in wanted(folder)
    )
    return locate(reference, setting=setting, patterns=sorted({file for file in found if file}))


def weight_map(folder: Path) -> dict[str, str]:
    """Tensor name to the name of the file that holds it, by the folder's index of shards.

    Raises:
        BadInputError: If the index is malformed or names a file outside the folder.
    """
    index = read_json(folder / _INDEX)
    files = index.get("weight_map")
    if not isinstance(files, dict) or not all(
        isinstance(file, str) and file == Path(file).name and file.endswith(".safetensors")
        for file in files.values()
    ):
        raise BadInputError(f"{folder / _INDEX} has no sound weight_map; fetch the model again")
    return files


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a model's weights, as transformers chooses them.

    `model.safetensors`, else the files of the index; others (adapters, the same weights
    consolidated) are not the model's.
    """
    if is_sharded(folder):
        return sorted({folder / file for file in weight_map(folder).values()})
    return [folder / SINGLE] if (folder / SINGLE).is_file() else []


def is_sharded(folder: Path) -> bool:
    """Whether a model's tensors are where an index of shards says: a single file goes first."""
    return (folder / _INDEX).is_file() and not (folder / SINGLE).is_file()


def _package_folder(reference: str, setting: str) -> Path:
    package, _, inner = reference.removeprefix("pkg://").partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):  # a missing parent package, an empty name
        spec = None
    if spec is None or not spec.submodule_search_locations:
        distribution = package.replace("_", "-")
        raise BadInputError(
            f"{setting}={reference}: the package is not installed; pip install {distribution}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inner


def _hub_folder(
    name: str, revision: str | None, setting: str, patterns: Sequence[str], remedy: str | None
) -> Path:
    from huggingface_hub import snapshot_download

    # It logs every retry; what counts is said once, below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=[*_SETTINGS, *patterns],
                ignore_patterns=["consolidated*", "onnx/*", "openvino/*"],  # the weights once more
            )
        )
    except Exception as error:
        raise BadInputError(
            f"{setting}: {name!r} is neither in the local hub cache nor reachable "
            f"({type(error).__name__}); give {remedy or f'{_local(setting)}=FOLDER'}, or set "
            "HF_ENDPOINT to a mirror"
        ) from error


def _local(setting: str) -> str:
    return "model.path" if setting == "model.name" else setting
