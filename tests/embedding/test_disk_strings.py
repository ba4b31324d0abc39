"""Strings of a file against the same strings in a list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.embedding import disk_strings as module
from harness.embedding.disk_strings import sort_strings, write_strings
from harness.errors import BadInputError

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=30)


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_equal_a_list(tmp_path_factory, texts, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", data.draw(st.integers(1, 8)))
        kept = write_strings(tmp_path_factory.mktemp("strings") / "texts", iter(texts))
        assert list(kept) == texts
        assert len(kept) == len(texts)
        part = slice(*sorted(data.draw(st.tuples(st.integers(0, 30), st.integers(0, 30)))))
        assert kept[part] == texts[part]
        assert kept[::-1] == texts[::-1]
        for place in range(-len(texts), len(texts)):
            assert kept[place] == texts[place]
        order = np.array(data.draw(st.permutations(range(len(texts)))), np.int64)
        assert list(kept.in_order(order)) == [texts[place] for place in order]


@settings(max_examples=40, deadline=None)
@given(texts=TEXTS, data=st.data())
def test_sorted_as_a_list_is(tmp_path_factory, texts, data):
    folder = tmp_path_factory.mktemp("strings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", data.draw(st.integers(1, 8)))
        patch.setattr(module, "_SORTED_BYTES", data.draw(st.integers(1, 2000)))
        kept = write_strings(folder / "texts", texts)
        order = sort_strings(kept, folder / "order")
    assert order.tolist() == sorted(range(len(texts)), key=texts.__getitem__)
    assert sorted(file.name for file in folder.iterdir()) == ["order", "texts", "texts.ends"]


def test_no_such_place(tmp_path):
    kept = write_strings(tmp_path / "texts", ["a"])
    for place in (1, -2):
        with pytest.raises(IndexError):
            kept[place]


def test_a_folder_that_is_gone_is_told(tmp_path):
    kept = write_strings(tmp_path / "texts", ["a"])
    with pytest.raises(BadInputError, match="store_dir"):
        sort_strings(kept, tmp_path / "none" / "order")
