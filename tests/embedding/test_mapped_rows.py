"""Rows of a file against the same rows in memory."""

from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding import mapped_rows as module
from harness.embedding.formats import FORMATS, decode, encode
from harness.embedding.mapped_rows import MappedRows, write_rows
from harness.errors import BadInputError


@given(data=st.data())
def test_equal_the_rows_in_memory(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    kind = data.draw(st.sampled_from(sorted(FORMATS)))
    count, width = data.draw(st.tuples(st.integers(1, 60), st.integers(1, 9)))
    rows = rng.standard_normal((count, width)).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=4)))
    path = tmp_path_factory.mktemp("rows") / "rows"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESIDENT_BYTES", data.draw(st.integers(0, 200)))
        mapped = write_rows(path, np.split(rows, cuts), kind)
        expected = decode(encode(rows, kind), kind)
        assert mapped.shape == (count, width)
        assert len(mapped) == count
        first, end = sorted(data.draw(st.tuples(st.integers(0, 70), st.integers(0, 70))))
        part = mapped[first:end]
        asked = rng.integers(0, count, 5)
        np.testing.assert_array_equal(mapped[asked], expected[asked])
        np.testing.assert_array_equal(part, expected[first:end])  # also after later reads
        np.testing.assert_array_equal(mapped[count - 1], expected[count - 1])
    assert mapped.nbytes == count * (FORMATS[kind] * width + (4 if kind == "int8" else 0))


def test_one_file_unless_there_are_scales(tmp_path):
    rows = np.ones((2, 3), np.float32)
    write_rows(tmp_path / "a", [rows], "bfloat16")
    write_rows(tmp_path / "b", [rows], "int8")
    names = sorted((path.name, path.stat().st_size) for path in tmp_path.iterdir())
    assert names == [("a", 12), ("b", 6), ("b.scales", 8)]


def test_nothing_that_is_written_to_them_reaches_the_file(tmp_path):
    mapped = write_rows(tmp_path / "rows", [np.ones((2, 2), np.float32)])
    mapped[:1][:] = 7
    assert MappedRows(tmp_path / "rows", (2, 2))[:].tolist() == [[1, 1], [1, 1]]


def test_no_rows_at_all(tmp_path):
    mapped = write_rows(tmp_path / "rows", [])
    assert mapped.shape == (0, 0)
    assert mapped[:].shape == (0, 0)


def test_a_file_that_was_cut_is_refused(tmp_path):
    write_rows(tmp_path / "rows", [np.ones((4, 2), np.float32)])
    with pytest.raises(BadInputError, match=r"shorter.*delete"):
        MappedRows(tmp_path / "rows", (5, 2))


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(BadInputError, match="store_dir"):
        write_rows(tmp_path / "none" / "rows", [np.ones((1, 1), np.float32)])


def resident(path):
    """Bytes of a file that are in the memory of this process."""
    maps = psutil.Process().memory_maps()
    return sum(one.rss for one in maps if Path(one.path) == path)


def test_what_was_read_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RESIDENT_BYTES", 4 << 20)
    block = np.ones((1 << 12, 256), np.float32)  # 4 MiB
    mapped = write_rows(tmp_path / "rows", [block] * 40)
    most = 0
    total = 0.0
    for start in range(0, len(mapped), len(block)):
        total += float(mapped[start : start + len(block)].sum())
        most = max(most, resident(mapped.path))
    assert total == 40 * block.size
    assert 4 << 20 <= most < 16 << 20  # of 160 MiB
