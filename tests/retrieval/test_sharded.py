"""Search over shards equals search over all documents: bit for bit, ties and equal rows too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment.equal_rows import EqualRows
from harness.retrieval import dense_search as module
from harness.retrieval.dense_search import dense_search
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.postings import Postings
from harness.retrieval.ranking import Ranking
from harness.retrieval.sharded import (
    DenseShard,
    dense_shards,
    merge,
    postings_range,
    search_dense_shard,
    search_sparse_shard,
    shard_bounds,
)


def as_whole(queries, documents, k, size):
    """What shards of so many documents find, merged."""
    equal = EqualRows.of(documents)
    shards = dense_shards(equal, shard_bounds(len(documents), size))
    parts = [
        search_dense_shard(documents[shard.first : shard.end], shard, queries, k)
        for shard in shards
    ]
    return merge(parts, k, equal, shards)


def test_bounds_are_whole_blocks():
    assert shard_bounds(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert shard_bounds(8, 4) == [(0, 4), (4, 8)]
    assert shard_bounds(3, 4) == [(0, 3)]


@given(data=st.data())
def test_merging_equals_a_full_sort(pairs, plain_ranking, data):
    # Small integers: products are exact, ties and equal documents are frequent.
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width, count, asked = data.draw(
        st.tuples(st.integers(1, 3), st.integers(1, 90), st.integers(1, 5))
    )
    k, size = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 40))
    documents = rng.integers(-2, 3, (count, width)).astype(np.float32)
    queries = rng.integers(-2, 3, (asked, width)).astype(np.float32)
    found = as_whole(queries, documents, k, size)
    assert found.documents.shape == (asked, min(k, count))
    expected = [plain_ranking(scores, k) for scores in (queries @ documents.T).tolist()]
    assert pairs(found) == expected


@pytest.mark.parametrize("asked", [1, 3, 5, 300])
def test_the_same_bits_where_shards_are_whole_blocks(monkeypatch, asked):
    """And documents that are equal across shards have one score, that of the first."""
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * 96 * 100)  # blocks of 64 documents
    rng = np.random.default_rng(asked)
    documents = rng.standard_normal((700, 96)).astype(np.float32)
    copies = np.sort(rng.permutation(700)[:200])
    documents[copies] = documents[copies[rng.integers(0, 3, 200)]]
    queries = rng.standard_normal((asked, 96)).astype(np.float32)
    for k in (1, 10, 350, 700):
        whole = dense_search(queries, documents, k)
        found = as_whole(queries, documents, k, 128)
        np.testing.assert_array_equal(found.documents, whole.documents)
        np.testing.assert_array_equal(found.scores, whole.scores)


def test_many_equal_documents_do_not_push_others_out():
    """The second shard is full of repeats of the first's worst: its own document is found."""
    documents = np.array([[3.0], [1.0], [2.0], [1.0], [1.0], [1.0], [1.5], [1.0]], np.float32)
    found = as_whole(np.ones((1, 1), np.float32), documents, 4, 4)
    assert found.documents.tolist() == [[0, 2, 6, 1]]
    assert found.scores.tolist() == [[3.0, 2.0, 1.5, 1.0]]


@pytest.mark.parametrize("weights", ["float32", "uint16", "uint8"])
@pytest.mark.parametrize("negative", [False, True])
def test_ranges_of_postings_find_the_same_bits(monkeypatch, weights, negative):
    monkeypatch.setattr("harness.retrieval.postings.BLOCK", 32)
    rng = np.random.default_rng(5)
    matrix = sparse.random_array((230, 60), density=0.08, format="csr", rng=rng, dtype=np.float32)
    matrix.data -= np.float32(0.3 if negative else 0)
    asked = sparse.random_array((9, 60), density=0.2, format="csr", rng=rng, dtype=np.float32)
    postings = Postings.of(matrix, weights)
    assert postings.block == 32
    whole = InvertedIndex(matrix, weights).search(asked, 40)
    for size in (32, 64, 96, 512):
        parts = [
            search_sparse_shard(postings_range(postings, first, end), first, asked, 40)
            for first, end in shard_bounds(230, size)
        ]
        found = merge(parts, 40)
        np.testing.assert_array_equal(found.documents, whole.documents)
        np.testing.assert_array_equal(found.scores, whole.scores)


@given(data=st.data())
def test_ranges_of_postings_have_the_rows_of_the_whole(data):
    count, size = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    matrix = sparse.random_array((count, 12), density=0.2, format="csr", rng=rng, dtype=np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.retrieval.postings.BLOCK", 8)
        postings = Postings.of(matrix, "float32")
    for first, end in shard_bounds(count, 8 * size):
        part = postings_range(postings, first, end)
        rows = part.rows(np.arange(end - first))
        np.testing.assert_array_equal(rows.toarray(), matrix[first:end].toarray())
        assert part.documents == end - first


def test_merging_keeps_what_was_not_found_last():
    nothing = Ranking.empty(2, 3)
    some = Ranking(
        np.array([[4, 5, -1], [-1, -1, -1]], np.int32),
        np.array([[2, 1, -np.inf], [-np.inf] * 3], np.float32),
    )
    found = merge([nothing, some], 3)
    assert found.documents.tolist() == [[4, 5, -1], [-1, -1, -1]]
    assert found.scores[0].tolist() == [2, 1, -np.inf]


def test_a_shard_knows_its_repeats():
    documents = np.array([[1.0], [2.0], [1.0], [2.0], [2.0], [3.0]], np.float32)
    shards = dense_shards(EqualRows.of(documents), [(0, 3), (3, 6)])
    assert [isinstance(shard, DenseShard) for shard in shards] == [True, True]
    first, second = shards
    assert (first.equal.originals.tolist(), first.equal.repeats.tolist()) == ([0], [2])
    assert first.elsewhere.tolist() == []
    assert (second.equal.originals.tolist(), second.equal.repeats.tolist()) == ([], [])
    assert second.elsewhere.tolist() == [0, 1]  # rows 3 and 4 repeat row 1, of the first shard
