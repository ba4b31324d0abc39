"""How document rows become postings, compiled by numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.retrieval.compiled import compiled
from harness.retrieval.postings import Postings, Rows


@compiled
def count_postings(
    rows: Rows, block: int, counts: NDArray[np.int64], largest: NDArray[np.float32]
) -> tuple[bool, bool]:
    """Count each token's postings by block of documents, weights of 0 left out.

    Args:
        rows: Documents.
        block: Documents of a block.
        counts: Zeros (V, blocks), filled.
        largest: Zeros (V,), filled with the largest absolute weight of each token.

    Returns:
        Whether all weights are finite, and whether one is negative.
    """
    finite, negative = True, False
    for document in range(len(rows.offsets) - 1):
        for entry in range(rows.offsets[document], rows.offsets[document + 1]):
            token, weight = rows.tokens[entry], rows.weights[entry]
            if weight != 0:
                counts[token, document // block] += 1
                largest[token] = max(largest[token], abs(weight))
                finite &= abs(weight) < np.inf
                negative |= weight < 0
    return finite, negative


@compiled
def fill_postings(
    rows: Rows, lists: NDArray[np.int32], free: NDArray[np.int64], postings: Postings
) -> None:
    """Put each posting in its place: by token, then block, then document.

    Args:
        rows: Documents.
        lists: The number of each token's list, (V,).
        free: Where the next posting of each block and list goes, (blocks, lists); moved along.
        postings: Their places and weights are filled.
    """
    for document in range(len(rows.offsets) - 1):
        block = document // postings.block
        for entry in range(rows.offsets[document], rows.offsets[document + 1]):
            weight = rows.weights[entry]
            if weight != 0:
                own = lists[rows.tokens[entry]]
                posting = free[block, own]
                free[block, own] += 1
                postings.places[posting] = document - block * postings.block
                if len(postings.scales):
                    # A weight that is not 0 stays so: what float32 finds is found.
                    steps = max(np.rint(abs(weight) / postings.scales[own]), np.float32(1))
                    postings.weights[posting] = steps if weight > 0 else -steps
                else:
                    postings.weights[posting] = weight


@compiled
def copy_lists(
    bounds: NDArray[np.int64],
    lists: NDArray[np.int64],
    free: NDArray[np.int64],
    run: tuple[NDArray[np.uint16], NDArray[np.float32]],
    merged: tuple[NDArray[np.uint16], NDArray[np.float32]],
) -> None:
    """Put a run's lists behind what earlier runs have put into the same lists.

    Args:
        bounds: Where each of its lists begins, and where the last ends.
        lists: The number of each among those merged.
        free: Where the next posting of each merged list goes; moved along.
        run: Its places and weights.
        merged: Those of all runs, filled.
    """
    for number in range(len(lists)):
        place = free[lists[number]]
        for posting in range(bounds[number], bounds[number + 1]):
            merged[0][place] = run[0][posting]
            merged[1][place] = run[1][posting]
            place += 1
        free[lists[number]] = place
