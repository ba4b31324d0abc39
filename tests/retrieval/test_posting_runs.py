"""An index that is merged from files against the same one made in memory."""

import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from harness.embedding import mapped_rows
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval import inverted_index, posting_runs
from harness.retrieval import postings as layout
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.posting_runs import build_postings
from harness.retrieval.postings import Postings


def drawn(rng, count, vocabulary, *, negative=False):
    """Small integers, so that ties are frequent; a third of the entries, and some empty rows."""
    values = rng.integers(-3 if negative else 1, 4, (count, vocabulary))
    kept = (rng.random((count, vocabulary)) < 0.3) & (rng.random((count, 1)) < 0.8)
    return sparse.csr_array((values * kept).astype(np.float32))


def cut(rows, size):
    return [rows[start : start + size] for start in range(0, rows.shape[0], size)]


def test_two_runs_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "BLOCK", 2)
    values = [[0, 5, 0, 1], [0, 0, 0, 2], [0, 6, 0, 3], [0, 0, 0, 0], [0, 7, 0, 0]]
    rows = sparse.csr_array(np.array(values, np.float32))
    found = build_postings(cut(rows, 2), tmp_path, vocabulary=4, weights="float32")
    assert found.tokens.tolist() == [1, 3]
    assert found.offsets.tolist() == [0, 1, 2, 3, 5, 6, 6]
    assert found.places.tolist() == [0, 0, 0, 0, 1, 0]
    assert found.weights.tolist() == [5, 6, 7, 1, 2, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["offsets", "places", "weights"]
    assert (tmp_path / "places").stat().st_size == 12


def test_no_chunk_is_held_while_the_next_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "BLOCK", 2)
    alive = []

    def chunks():
        before = None
        for _ in range(3):
            alive.append(before is not None and before() is not None)
            chunk = sparse.csr_array(np.ones((2, 3), np.float32))
            before = weakref.ref(chunk)
            yield chunk
            del chunk

    found = build_postings(chunks(), tmp_path, vocabulary=3, weights="float32")
    assert found.documents == 6
    assert alive == [False, False, False]


@settings(deadline=None)
@given(data=st.data())
def test_every_array_equals_that_of_an_index_in_memory(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, vocabulary = data.draw(st.tuples(st.integers(0, 60), st.integers(1, 12)))
    kind = data.draw(st.sampled_from(["float32", "uint16", "uint8"]))
    rows = drawn(rng, count, vocabulary, negative=data.draw(st.booleans()))
    rows.data *= rng.lognormal(size=rows.nnz).astype(np.float32)
    folder = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK", data.draw(st.integers(1, 9)))
        patch.setattr(posting_runs, "MERGED_BYTES", data.draw(st.integers(1, 3000)))
        chunks = cut(rows, layout.BLOCK * data.draw(st.integers(1, 3)))
        found = build_postings(chunks, folder, vocabulary=vocabulary, weights=kind)
        expected = Postings.of(rows, kind)
    assert found._fields == expected._fields
    for name, mine, theirs in zip(found._fields, found, expected, strict=True):
        if isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype, name
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
        else:
            assert mine == theirs, name
    assert found.nbytes == expected.nbytes


@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_finds_what_an_index_in_memory_finds(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, queries = drawn(rng, 150, 20), drawn(rng, 9, 20)
    kind = data.draw(st.sampled_from(["float32", "uint8"]))
    folder = tmp_path_factory.mktemp("index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "BLOCK", 64)
        for module in (mapped_rows, inverted_index):
            patch.setattr(module, "RESIDENT_BYTES", data.draw(st.integers(0, 2000)))
        patch.setattr(layout, "_AT_ONCE", 100)
        index = InvertedIndex.of_files(
            build_postings(cut(rows, 64), folder, vocabulary=20, weights=kind)
        )
        expected = InvertedIndex(rows, kind)
        candidates = Ragged.from_rows([sorted(rng.permutation(150)[:7].tolist())] * 9)
        for threads in (1, 2):
            found, plain = index.search(queries, 12, threads), expected.search(queries, 12)
            np.testing.assert_array_equal(found.documents, plain.documents)
            np.testing.assert_array_equal(found.scores, plain.scores)
        scores, shared = index.score(queries, candidates)
        assert shared == expected.score(queries, candidates)[1]
        np.testing.assert_array_equal(scores, expected.score(queries, candidates)[0])
        asked = np.array([149, 3, 3, 70])
        assert (index.rows(asked) != expected.rows(asked)).nnz == 0
    np.testing.assert_array_equal(index.document_frequency, expected.document_frequency)
    assert (index.documents, index.nbytes) == (150, expected.nbytes)


def test_a_weight_that_is_not_finite_is_refused(tmp_path):
    rows = sparse.csr_array(np.array([[1, np.inf]], np.float32))
    with pytest.raises(BadInputError, match="infinite"):
        build_postings([rows], tmp_path, vocabulary=2, weights="float32")


def test_a_short_run_that_is_not_the_last_is_refused(tmp_path):
    rows = sparse.csr_array(np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="must be the last"):
        build_postings([rows, rows], tmp_path, vocabulary=2, weights="float32")


def test_a_folder_that_is_gone_is_told(tmp_path):
    rows = sparse.csr_array(np.ones((3, 2), np.float32))
    with pytest.raises(BadInputError, match="store_dir"):
        build_postings([rows], tmp_path / "none", vocabulary=2, weights="float32")
