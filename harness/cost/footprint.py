"""Bytes of embeddings on disk and of indexes in memory, before any of them is there.

The sizes are those of the formats that the embedding store and the retrieval modes write; what
another room decides (documents of a block, bytes of a shard) comes as an argument.
"""

from __future__ import annotations

import math

_KEY_BYTES, _TOKENS_BYTES = 16, 8  # of a text in a shard's index: its hash, its length
_INDEX_OVERHEAD = 1002  # of a shard's Arrow file: schema, checksums, footer
_SMALL_OFFSETS = 2**32  # postings from which on offsets take 8 bytes
_PLACE_BYTES = 2
_EQUAL_ROWS_BYTES = 48
_KEPT_TOKEN_BYTES = 8 + 4 + 2 + 4 + 4 + 8
_LOGITS_BYTES = 64 << 20  # of a block of them

NORMALISED_AT_ONCE = 16_384
"""Rows that are held in float64 while embeddings are normalised."""

NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Bytes of one entry of a stored embedding; `int8` has a float32 scale a row besides."""

WEIGHT_BYTES = {"float32": 4, "uint16": 2, "uint8": 1}
"""Bytes of one posting's weight, beside those of its document."""


def row_bytes(width: int, dtype: str) -> int:
    """Bytes of one embedding.

    Args:
        width: d.
        dtype: One of `NUMBER_BYTES`.
    """
    return width * NUMBER_BYTES[dtype] + (4 if dtype == "int8" else 0)


def dense_index_bytes(documents: int, width: int, dtype: str = "float32") -> int:
    """Bytes of an exact dense index: the embeddings."""
    return documents * row_bytes(width, dtype)


def shard_bytes(texts: int, width: int) -> int:
    """Bytes on disk of one shard of float32 embeddings, its index included: exact.

    Args:
        texts: Rows.
        width: d.
    """
    vectors = texts * row_bytes(width, "float32")
    header = (
        f'{{"embeddings":{{"dtype":"F32","shape":[{texts},{width}],"data_offsets":[0,{vectors}]}}}}'
    )
    length = 8 + -(-len(header) // 8) * 8
    return length + vectors + texts * (_KEY_BYTES + _TOKENS_BYTES) + _INDEX_OVERHEAD


def store_bytes(texts: int, width: int, *, shard_vector_bytes: int, dtype: str = "float32") -> int:
    """Bytes on disk of an embedding store that is written without a pause.

    A shard ends with the batch that fills it, so their number can be smaller by some; each shard
    more or less is about a kilobyte.

    Args:
        texts: Distinct texts.
        width: d.
        shard_vector_bytes: Bytes of vectors from which on a shard is full.
        dtype: `float32` is what the store writes; the others are what it would take.
    """
    if texts == 0:
        return 0
    own = row_bytes(width, dtype)
    full = max(-(-shard_vector_bytes // own), 1)
    whole, rest = divmod(texts, full)
    less = row_bytes(width, "float32") - own
    total = whole * shard_bytes(full, width) + (shard_bytes(rest, width) if rest else 0)
    return total - texts * less


def expected_lists(documents: int, vocabulary: int, kept: int) -> int:
    """How many tokens have a posting, if all were alike: V·(1 - (1 - K/V)^N), rounded."""
    share = min(kept / vocabulary, 1.0)
    if share == 1.0:
        return vocabulary
    return round(-vocabulary * math.expm1(documents * math.log1p(-share)))


def postings_bytes(
    postings: int, *, lists: int, documents: int, block: int, weights: str = "float32"
) -> int:
    """Bytes of an inverted index: exact, given its postings and lists.

    Args:
        postings: Entries of all documents' rows.
        lists: Tokens that have a posting.
        documents: N.
        block: Documents of a block; each list has an offset in each block.
        weights: One of `WEIGHT_BYTES`; integers have a float32 scale a list besides.
    """
    blocks = max(-(-documents // block), 1)
    offset = 4 if postings < _SMALL_OFFSETS else 8
    scales = 0 if weights == "float32" else 4 * lists
    own = postings * (_PLACE_BYTES + WEIGHT_BYTES[weights])
    return 4 * lists + (lists * blocks + 1) * offset + own + scales


def dense_build_bytes(documents: int, width: int, *, normalised: bool) -> int:
    """Peak memory of making an exact dense index, without what the process has anyway.

    The embeddings, 48 bytes a document for finding equal rows (hashes, in order and sorted, and
    what is made of them), and where they are normalised a copy, and a block of rows as float64 with
    its squares.

    Args:
        documents: N.
        width: d.
        normalised: Whether scores are of normalised embeddings.
    """
    own = row_bytes(width, "float32")
    total = documents * (own + _EQUAL_ROWS_BYTES)
    if normalised:
        total += documents * own + min(documents, NORMALISED_AT_ONCE) * width * 2 * 8
    return total


def sparse_build_bytes(documents: int, width: int, kept: int) -> int:
    """Peak memory of making an inverted index of aligned tokens, without what there is anyway.

    The embeddings, and for each kept token its id and logit (8 bytes), its weight (4) and two flags
    (2), the document row that is made of them (4 and 4) and its columns once more as int64 (8); and
    blocks of logits. The index itself is made when most of that is gone again.

    Args:
        documents: N.
        width: d.
        kept: K.
    """
    each = row_bytes(width, "float32") + kept * _KEPT_TOKEN_BYTES
    return documents * each + _LOGITS_BYTES
