"""Single tensors of a model, read out of its safetensors files without the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.embedding.locate import is_sharded, weight_files, weight_map
from harness.errors import BadInputError, brief


@dataclass(frozen=True)
class TensorPlace:
    """One tensor of a weights file."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def read(self) -> NDArray[np.float32]:
        """The tensor alone, as float32."""
        from safetensors import safe_open

        with safe_open(self.file, framework="pt") as tensors:
            tensor: NDArray[np.float32] = tensors.get_tensor(self.name).float().numpy()
            return tensor

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the tensor as float32, whichever file it stands in."""
        return hashlib.sha256(np.ascontiguousarray(self.read()).data).hexdigest()


def checked_folder(folder: Path, *, setting: str) -> Path:
    """A folder that holds a model.

    Raises:
        BadInputError: If it holds no `config.json` or no safetensors weights.
    """
    if not (folder / "config.json").is_file():
        raise BadInputError(
            f"{setting}={folder} holds no config.json; give a Hugging Face model's folder"
        )
    files = weight_files(folder)
    if not files:
        raise BadInputError(
            f"{setting}={folder} holds no model.safetensors; convert the weights (pickle files are "
            "never loaded)"
        )
    return folder


def find_tensor(folder: Path, names: Sequence[str]) -> TensorPlace | None:
    """Where the first of the named tensors is in a model's folder, best name first.

    With an index of shards only the file that holds the tensor need be there.

    Raises:
        BadInputError: If that file is missing or unreadable.
    """
    from safetensors import SafetensorError, safe_open

    if is_sharded(folder):
        files = weight_map(folder)
        candidates = [(folder / files[name], name) for name in names if name in files]
    else:
        candidates = [(file, name) for name in names for file in weight_files(folder)]
    for file, name in candidates:
        try:
            with safe_open(file, framework="pt") as tensors:
                if name in set(tensors.keys()):
                    return TensorPlace(file, name, tuple(tensors.get_slice(name).get_shape()))
        except (SafetensorError, OSError) as error:
            raise BadInputError(
                f"{file} cannot be read ({brief(error)}); fetch it again"
            ) from error
    return None
