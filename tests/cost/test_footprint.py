"""Predicted bytes: by hand, and against what the project's own classes really take."""

import numpy as np
import pytest
from scipy import sparse

from harness.alignment import head
from harness.cost.disk import disk_bytes
from harness.cost.footprint import (
    NORMALISED_AT_ONCE,
    dense_build_bytes,
    dense_index_bytes,
    expected_lists,
    postings_bytes,
    row_bytes,
    shard_bytes,
    sparse_build_bytes,
    store_bytes,
)
from harness.embedding.store import EmbeddingStore, text_keys
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.postings import BLOCK


def test_rows_and_dense_index_by_hand():
    assert [row_bytes(384, dtype) for dtype in ("float32", "bfloat16", "int8")] == [1536, 768, 388]
    assert dense_index_bytes(1_000, 384) == 1_536_000
    assert dense_index_bytes(1_000, 384, "int8") == 388_000


@pytest.mark.parametrize("width", [1, 64, 384])
@pytest.mark.parametrize("texts", [1, 7, 8, 99, 1000, 10_001])
def test_a_shard_takes_what_was_predicted_to_the_byte(tmp_path, texts, width):
    store = EmbeddingStore(tmp_path, {"a": 1}, label="")
    keys = text_keys([str(number) for number in range(texts)])
    store.add(keys, np.ones((texts, width), np.float32), np.full(texts, 7, np.int64))
    written = [path for path in store.folder.iterdir() if path.name.startswith("shard-")]
    assert disk_bytes(written) == shard_bytes(texts, width)
    assert store.disk_bytes(store.find(keys)) == shard_bytes(texts, width)


def test_a_store_is_its_shards():
    # 10 rows of 16 bytes fill a shard of 160: two whole ones and one of 3.
    assert store_bytes(23, 4, shard_vector_bytes=160) == 2 * shard_bytes(10, 4) + shard_bytes(3, 4)
    # A row that does not fit is a shard of its own.
    assert store_bytes(2, 4, shard_vector_bytes=1) == 2 * shard_bytes(1, 4)
    assert store_bytes(20, 4, shard_vector_bytes=160) == 2 * shard_bytes(10, 4)
    assert store_bytes(0, 4, shard_vector_bytes=160) == 0
    # In bfloat16 8 bytes a row less, and twice as many rows fill a shard.
    assert store_bytes(15, 4, shard_vector_bytes=160, dtype="bfloat16") == (
        shard_bytes(15, 4) - 15 * 8
    )


def test_postings_by_hand():
    # 5 postings, 2 lists, one block: 2·4 of tokens, 3·4 of offsets, 5·2 of places, 5·4 of weights.
    assert postings_bytes(5, lists=2, documents=10, block=16) == 8 + 12 + 10 + 20
    # Three blocks: 7 offsets. A byte a weight, and a scale a list.
    assert postings_bytes(5, lists=2, documents=33, block=16, weights="uint8") == 8 + 28 + 15 + 8
    # From 2³² postings on an offset takes 8 bytes.
    assert postings_bytes(2**32, lists=1, documents=1, block=16, weights="uint16") == (
        4 + 16 + 2**34 + 4
    )
    assert postings_bytes(0, lists=0, documents=0, block=16) == 4


@pytest.mark.parametrize("weights", ["float32", "uint16", "uint8"])
@pytest.mark.parametrize("documents", [3, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
def test_an_index_takes_what_was_predicted_to_the_byte(documents, weights):
    random = np.random.default_rng(documents)
    vocabulary, kept = 50, 4
    columns = np.sort(
        np.argsort(random.random((documents, vocabulary)), axis=1)[:, :kept], axis=1
    ).astype(np.int32)
    rows = sparse.csr_array(
        (
            np.ones(documents * kept, np.float32),
            columns.ravel(),
            np.arange(0, documents * kept + 1, kept),
        ),
        shape=(documents, vocabulary),
    )
    index = InvertedIndex(rows, weights)
    lists = len(np.unique(columns))
    assert index.nbytes == postings_bytes(
        documents * kept, lists=lists, documents=documents, block=BLOCK, weights=weights
    )
    if documents > 1000:
        assert lists == expected_lists(documents, vocabulary, kept)


def test_expected_lists():
    # 10·(1 - (1 - 1/10)²) = 1.9
    assert expected_lists(2, 10, 1) == 2
    assert expected_lists(1, 30_522, 256) == 256
    assert expected_lists(10**9, 30_522, 256) == 30_522
    assert expected_lists(3, 10, 10) == expected_lists(3, 10, 12) == 10


def test_building_by_hand():
    block = 64 << 20
    # Two copies of 4 numbers of 4 bytes, and 48; a block of 8 bytes a number, twice.
    assert dense_build_bytes(10, 4, normalised=True) == 10 * (32 + 48) + 10 * 4 * 16
    assert dense_build_bytes(20_000, 4, normalised=True) == 20_000 * 80 + 16_384 * 64
    assert dense_build_bytes(10, 4, normalised=False) == 10 * (16 + 48)
    assert head._BLOCK == NORMALISED_AT_ONCE
    assert sparse_build_bytes(10, 4, 3) == 10 * (16 + 3 * 30) + block
