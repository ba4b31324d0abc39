"""How embeddings are kept on disk: float32 as they are, or in formats of half or a quarter of it.

What is read is always float32. int8 has one scale a row, so that each row's largest entry is ±127.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError

FORMATS = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Bytes of an entry."""
_KEPT_AS: dict[str, type[Any]] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.uint16,
    "int8": np.int8,
}


class Encoded(NamedTuple):
    """Rows in a format.

    Attributes:
        entries: (n, d) of `kept_as(format)`; bfloat16 as the upper half of a float32's bits.
        scales: What each row is multiplied by, float32 (n,); None but for int8.
    """

    entries: NDArray[Any]
    scales: NDArray[np.float32] | None


def kept_as(kind: str) -> np.dtype[Any]:
    """NumPy's type of a format's entries."""
    return np.dtype(_KEPT_AS[kind])


def encode(rows: NDArray[np.float32], kind: str) -> Encoded:
    """Rows in a format, each entry to the nearest value that the format has.

    Args:
        rows: float32 (n, d).
        kind: One of `FORMATS`.

    Raises:
        BadInputError: If float16 cannot hold an entry.
    """
    rows = np.ascontiguousarray(rows, np.float32)
    if kind == "float32":
        return Encoded(rows, None)
    if kind == "float16":
        with np.errstate(over="ignore"):
            halves = rows.astype(np.float16)
        if np.isinf(halves).any() and not np.isinf(rows).any():
            raise BadInputError(
                "an embedding's entry is too large for float16 (65504); use bfloat16 or float32"
            )
        return Encoded(halves, None)
    if kind == "bfloat16":
        import torch

        halves = torch.from_numpy(rows).to(torch.bfloat16).view(torch.int16).numpy()
        return Encoded(halves.view(np.uint16), None)
    largest = np.abs(rows).max(axis=1, initial=0)
    scales = (largest / np.float32(127)).astype(np.float32)
    steps = rows / np.maximum(scales, np.finfo(np.float32).tiny)[:, None]
    return Encoded(np.rint(steps).clip(-127, 127).astype(np.int8), scales)


def decode(encoded: Encoded, kind: str) -> NDArray[np.float32]:
    """Rows as float32; those that are float32 are not copied."""
    entries, scales = encoded
    if kind == "float32":
        return entries
    import torch

    if kind == "bfloat16":
        halves = torch.from_numpy(entries.view(np.int16)).view(torch.bfloat16)
        return halves.to(torch.float32).numpy()
    rows: NDArray[np.float32] = torch.from_numpy(entries).to(torch.float32).numpy()
    if scales is not None:
        rows *= scales[:, None]
    return rows
