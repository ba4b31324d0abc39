"""Blocks of prompts: what one worker of a cluster encodes at a time, as Arrow tables.

Which texts a block holds follows from their lengths alone, so that the embeddings of a corpus do
not depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.embedding.batching import longest_first
from harness.embedding.prompts import Prompts
from harness.embedding.ragged import Ragged
from harness.embedding.shards import KEY


def block_rows(lengths: NDArray[np.int64], block_tokens: int) -> list[NDArray[np.int64]]:
    """The rows of each block, longest texts first; every row is in one block.

    Args:
        lengths: Tokens of each text, int64 (n,).
        block_tokens: A block begins with every so many tokens, so that it holds less than so many
            besides its last text.
    """
    order = longest_first(lengths)
    taken = np.maximum(lengths[order], 1)
    numbers = (np.cumsum(taken) - taken) // block_tokens
    return np.split(order, np.flatnonzero(np.diff(numbers)) + 1) if len(order) else []


def to_table(
    prompts: Prompts, rows: NDArray[np.int64], keys: Sequence[bytes] | None = None
) -> pa.Table:
    """Some prompts as a table.

    Args:
        prompts: All prompts.
        rows: Which of them, int64 (n,); the table has them as `row`.
        keys: The text hash of each of all prompts, where they are to be stored.
    """
    part = prompts.select(rows)
    ids = pa.ListArray.from_arrays(pa.array(part.ids.offsets, pa.int32()), part.ids.values)
    columns = {
        "row": pa.array(rows),
        "ids": ids,
        "text_start": pa.array(part.text_start),
        "text_stop": pa.array(part.text_stop),
    }
    if keys is not None:
        columns["key"] = pa.array([keys[row] for row in rows.tolist()], KEY)
    return pa.table(columns)


def of_table(table: pa.Table) -> tuple[NDArray[np.int64], Prompts, list[bytes] | None]:
    """Rows, prompts and keys of a table that `to_table` made, or of slices of one put together."""
    ids = _array(table, "ids")
    lengths = ids.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    values = np.array(ids.flatten(), np.int32)
    prompts = Prompts(
        Ragged(values, offsets),
        np.array(_array(table, "text_start"), np.int64),
        np.array(_array(table, "text_stop"), np.int64),
    )
    keys = _array(table, "key").to_pylist() if "key" in table.column_names else None
    return np.array(_array(table, "row"), np.int64), prompts, keys


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The embeddings of a table of results, float32 (n, d)."""
    vectors = _array(table, "vector")
    flat = np.array(vectors.flatten(), np.float32)
    result: NDArray[np.float32] = flat.reshape(len(vectors), vectors.type.list_size)
    return result


def _array(table: pa.Table, name: str) -> pa.Array:
    return pa.concat_arrays(table.column(name).chunks)
