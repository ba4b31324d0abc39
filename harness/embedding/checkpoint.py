"""A model's checkpoint as another engine reads it: one folder, its adapters merged.

The folder holds the configuration and the weights alone. What a sentence-transformers folder says
besides (dense layers, pooling, a longest input) is applied here, and an engine that finds it would
apply it again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from harness.embedding.locate import is_sharded, weight_files
from harness.embedding.wide_heads import widen
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.embedding.model import EmbeddingModel

_FORMAT = 1
_SETTINGS = ("config.json", "generation_config.json")
_INDEX = "model.safetensors.index.json"


def checkpoint(
    model: EmbeddingModel, cache: Path, *, dtype: str, head_width: int | None = None
) -> Path:
    """The folder of a model's checkpoint, made when it is first asked for.

    Without adapters it holds links to the model's own files. A chain of adapters is merged into the
    weights in float32 and saved once; every run with the same weights and chain reads that copy.

    Args:
        model: The model.
        cache: Where checkpoints are kept.
        dtype: What merged weights are saved in.
        head_width: What attention heads are widened to, see `harness.embedding.wide_heads`; None
            leaves them.

    Raises:
        BadInputError: If an adapter does not fit, or the folder cannot be written.
    """
    key = _key(model, dtype, head_width)
    folder = cache / key
    if _is_whole(folder):
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Whoever comes second waits, instead of merging the same gigabytes beside the first.
        with FileLock(cache / f"{key}.lock"):
            if not _is_whole(folder):
                _write_whole(folder, lambda place: _fill(place, model, dtype, head_width))
    except OSError as error:
        raise BadInputError(
            f"the checkpoint {folder} cannot be written ({error}); make room, or give another "
            "folder as store_dir"
        ) from error
    return folder


def _key(model: EmbeddingModel, dtype: str, head_width: int | None = None) -> str:
    """16 hexadecimal digits that stand for weights, chain, and where the weights are linked to."""
    stated = [str(_FORMAT), model.weights_hash]
    stated += [dtype] if model.adapters else [str(model.folder.resolve())]
    stated += [] if head_width is None else [f"heads {head_width}"]
    return hashlib.sha256("\0".join(stated).encode()).hexdigest()[:16]


def _is_whole(folder: Path) -> bool:
    """Whether a checkpoint is there, and every link in it still leads somewhere."""
    return folder.is_dir() and all(file.exists() for file in folder.iterdir())


def _write_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` fill a temporary folder beside `folder`, then rename it into place.

    What killed writers have left is removed; the caller holds the folder's lock.
    """
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(left)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp"))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        for file in temporary.iterdir():
            if not file.is_symlink():
                _sync(file)
        _sync(temporary)
        if folder.exists():  # links that lead nowhere any more
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(temporary)


def _fill(place: Path, model: EmbeddingModel, dtype: str, head_width: int | None) -> None:
    if model.adapters:
        _merge(place, model, dtype)
    else:
        named = [model.folder / name for name in _SETTINGS] + weight_files(model.folder)
        if is_sharded(model.folder):
            named.append(model.folder / _INDEX)
        for file in named:
            if file.is_file():
                (place / file.name).symlink_to(file.resolve())
    if head_width is not None:
        widen(place, head_width)


def _merge(place: Path, model: EmbeddingModel, dtype: str) -> None:
    import torch

    from harness.embedding.network import load_network

    # Attention is a setting of the run, and not of the checkpoint that runs share.
    merged = replace(model.config, merge_last_adapter=True, attention=None)
    network: Any = load_network(type(model)(merged), dtype="float32", kernel="auto")
    network.to(getattr(torch, dtype)).save_pretrained(place)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
