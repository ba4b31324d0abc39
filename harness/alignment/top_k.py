"""The largest logits of each row, by a threshold that few others pass: only those are sorted."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_SPARE = 4  # groups of columns for each of the k
_NOTHING = np.iinfo(np.int64).max  # sorts last, and says column -1
_LOWEST = float(np.finfo(np.float32).min)  # above -inf


def top_k(logits: torch.Tensor, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k largest logits of each row; see `largest`.

    Args:
        logits: float32 (n, V), contiguous, on any device; -inf is none, NaN is above all.
        k: From 1 to V.
    """
    count, width = logits.shape
    places, values = (_on_host if logits.device.type == "cpu" else _on_device)(logits, k)
    return largest(*np.divmod(places, width), values, count, k)


def largest(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float32],
    count: int,
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k largest values of each row and their columns.

    Args:
        rows: int64 (candidates,), ascending.
        columns: int64 (candidates,), distinct within a row.
        values: float32 (candidates,); NaN is above all.
        count: Rows n.
        k: How many are wanted.

    Returns:
        Columns int32 (n, k) by descending value, equal values by ascending column, and the values
        float32 (n, k); -1 and 0 where a row has no more candidates.
    """
    ends = np.searchsorted(rows, np.arange(count + 1))
    most = int(np.diff(ends).max(initial=k))
    keys = np.full((count, most), _NOTHING, np.int64)
    keys[rows, np.arange(len(rows)) - ends[rows]] = _packed(columns, values)
    keys.sort(axis=1)
    return _unpacked(keys[:, :k])


def _on_host(logits: torch.Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places in row-major order, and values, of what can be among the k largest of a row.

    NumPy, because torch takes several times as long for each of these passes.
    """
    scores = logits.numpy()
    low = scores < np.nan_to_num(_floor(scores, k), nan=_LOWEST)
    places = np.flatnonzero(np.logical_not(low, out=low))
    return places, scores.ravel()[places]


def _floor(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """A score that the k-th largest of each row is not below: (n, 1).

    Of k groups of columns each has one that scores at least the k-th largest of the groups' maxima.
    """
    count, width = scores.shape
    size = max(width // (_SPARE * k), 1)
    groups = width // size
    maxima = scores[:, : size * groups].reshape(count, size, groups).max(axis=1)
    return np.partition(maxima, groups - k, axis=1)[:, groups - k, None]


def _on_device(logits: torch.Tensor, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """See `_on_host`; an accelerator finds the k-th largest itself, but not which of equal ones."""
    floor = torch.topk(logits, k, dim=1).values[:, -1:]
    low = logits < floor.nan_to_num(nan=_LOWEST)
    places = torch.nonzero(~low.view(-1)).view(-1)
    return places.cpu().numpy(), logits.view(-1)[places].cpu().numpy()


def _packed(columns: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers that ascend as values descend, then as columns ascend."""
    ordered = np.where(np.isnan(values), np.float32(np.nan), values + np.float32(0))
    bits = ordered.view(np.int32)  # one NaN, above all; -0 has become 0
    ascending = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (~ascending).astype(np.int64) << 32 | columns


def _unpacked(keys: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Columns and values from `_packed`."""
    columns = (keys & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    ascending = ~(keys >> 32).astype(np.int32)
    values = np.where(ascending < 0, ascending ^ 0x7FFFFFFF, ascending).view(np.float32)
    return columns, np.where(columns < 0, np.float32(0), values)
