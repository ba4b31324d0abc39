"""Equal rows against a dictionary of their bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from harness.alignment import equal_rows as module
from harness.alignment.equal_rows import EqualRows
from harness.embedding.mapped_rows import write_rows


def first_equal(vectors, sets=None):
    """For each row the first that has its bytes, and its columns."""
    seen = {}
    columns = [b""] * len(vectors) if sets is None else [row.tobytes() for row in sets]
    return [
        seen.setdefault((vector.tobytes(), own), row)
        for row, (vector, own) in enumerate(zip(vectors, columns, strict=True))
    ]


def test_worked_by_hand():
    vectors = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], np.float32)
    equal = EqualRows.of(vectors)
    assert equal.first.tolist() == [0, 1, 0, 3, 1, 0]
    assert equal.originals.tolist() == [0, 1]
    assert equal.repeats.tolist() == [2, 4, 5]
    assert equal.sources.tolist() == [0, 1, 0]
    assert equal.distinct.tolist() == [0, 1, 3]


@pytest.mark.parametrize(("count", "width"), [(0, 0), (0, 3), (1, 4)])
def test_nothing_to_repeat(count, width):
    equal = EqualRows.of(np.zeros((count, width), np.float32))
    assert equal.first.tolist() == list(range(count))
    assert [len(part) for part in (equal.originals, equal.repeats, equal.sources)] == [0, 0, 0]


def test_rows_without_a_column_are_equal():
    assert EqualRows.of(np.zeros((3, 0), np.float32)).first.tolist() == [0, 0, 0]


def test_bits_count_and_not_values():
    rows = np.array([[0.0], [-0.0], [np.nan], [0.0], [np.nan], [-np.nan]], np.float32)
    assert EqualRows.of(rows).first.tolist() == [0, 1, 2, 0, 2, 5]


@pytest.mark.parametrize("weights", ["random", "equal", "zero"])
@given(data=st.data())
def test_equals_a_dictionary(weights, data):
    """Whatever the hash is worth: with equal weights permutations collide, with zeros all rows."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, width = data.draw(st.tuples(st.integers(0, 40), st.integers(0, 4)))
    vectors = rng.integers(-1, 2, (count, width)).astype(np.float32)
    sets = None
    if data.draw(st.booleans()):
        sets = sparse.csr_array((rng.random((count, 3)) < 0.5).astype(np.float32))
    columns = None if sets is None else np.split(sets.indices, sets.indptr[1:-1])[:count]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK_BYTES", data.draw(st.integers(1, 100)))
        if weights != "random":
            value = np.uint64(weights == "equal")
            patch.setattr(module, "_weights", lambda size: np.full(size, value))
        found = EqualRows.of(vectors, sets)
    assert found.first.tolist() == first_equal(vectors, columns)


def test_rows_of_a_read_only_file(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([[1, 2], [1, 3], [1, 2]], np.float32))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert EqualRows.of(mapped).first.tolist() == [0, 1, 0]


def test_rows_that_do_not_lie_one_after_another():
    wide = np.array([[1, 9, 2], [1, 8, 2], [3, 9, 2]], np.float32)
    assert EqualRows.of(wide[:, ::2]).first.tolist() == [0, 0, 2]


@given(data=st.data())
def test_rows_of_a_file_equal_those_in_memory(tmp_path_factory, data):
    """Whatever range of hashes rows fall into, and however few are sorted at once."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, width = data.draw(st.tuples(st.integers(0, 60), st.integers(1, 4)))
    vectors = rng.integers(-1, 2, (count, width)).astype(np.float32)
    path = tmp_path_factory.mktemp("rows") / "rows"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", data.draw(st.integers(1, 70)))
        patch.setattr(module, "_BLOCK_BYTES", data.draw(st.integers(1, 100)))
        if data.draw(st.booleans()):
            patch.setattr(module, "_weights", lambda size: np.full(size, 2**63 + 1, np.uint64))
        found = EqualRows.of(write_rows(path, [vectors]))
    expected = EqualRows.of(vectors)
    for field in ("originals", "repeats", "sources", "first", "distinct"):
        assert getattr(found, field).tolist() == getattr(expected, field).tolist()
    assert [file.name for file in path.parent.iterdir()] == ["rows"]
