"""Ragged arrays against plain lists of lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.ragged import Ragged

rows_of_ids = st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=8)


def as_lists(ragged):
    return [ragged[row].tolist() for row in range(len(ragged))]


def test_layout_of_a_literal_case():
    ragged = Ragged.from_rows([[5, 6], [], [7]])
    assert ragged.values.tolist() == [5, 6, 7]
    assert ragged.offsets.tolist() == [0, 2, 2, 3]
    assert ragged.values.dtype == np.int32
    assert ragged.offsets.dtype == np.int64
    assert ragged.lengths.tolist() == [2, 0, 1]
    assert ragged.row_numbers().tolist() == [0, 0, 2]


@given(rows_of_ids)
def test_from_rows_keeps_every_row(rows):
    ragged = Ragged.from_rows(rows)
    assert len(ragged) == len(rows)
    assert as_lists(ragged) == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert [row.tolist() for row in ragged] == rows


@given(st.lists(rows_of_ids, max_size=4))
def test_concatenate_is_concatenation_of_lists(parts):
    joined = Ragged.concatenate(Ragged.from_rows(part) for part in parts)
    assert as_lists(joined) == [row for part in parts for row in part]
    assert joined.values.dtype == np.int32
    assert joined.offsets.dtype == np.int64


@given(rows_of_ids.filter(bool), st.data())
def test_select_repeats_and_reorders(rows, data):
    wanted = data.draw(st.lists(st.integers(-len(rows), len(rows) - 1), max_size=10))
    selected = Ragged.from_rows(rows).select(np.array(wanted, np.int64))
    assert as_lists(selected) == [rows[row] for row in wanted]
    assert selected.values.dtype == np.int32


@given(rows_of_ids, st.data())
def test_keep_filters_within_rows(rows, data):
    masks = [data.draw(st.lists(st.booleans(), min_size=len(r), max_size=len(r))) for r in rows]
    flat = np.array([keep for mask in masks for keep in mask], bool)
    kept = Ragged.from_rows(rows).keep(flat)
    assert as_lists(kept) == [
        [value for value, keep in zip(row, mask, strict=True) if keep]
        for row, mask in zip(rows, masks, strict=True)
    ]


@given(rows_of_ids)
def test_row_numbers(rows):
    expected = [number for number, row in enumerate(rows) for _ in row]
    assert Ragged.from_rows(rows).row_numbers().tolist() == expected


def test_negative_row_counts_from_the_end():
    assert Ragged.from_rows([[1], [2, 3]])[-1].tolist() == [2, 3]


def test_row_out_of_range():
    with pytest.raises(IndexError):
        Ragged.from_rows([[1]])[1]


def test_id_above_int32_is_refused():
    with pytest.raises(OverflowError):
        Ragged.from_rows([[2**31]])


def test_surround_and_head():
    ragged = Ragged.from_rows([[1, 2, 3], [], [4]])
    rows = [row.tolist() for row in ragged.surround([7, 8], [9])]
    assert rows == [[7, 8, 1, 2, 3, 9], [7, 8, 9], [7, 8, 4, 9]]
    assert [row.tolist() for row in ragged.surround([], [])] == [[1, 2, 3], [], [4]]
    assert [row.tolist() for row in ragged.head(np.array([2, 5, 0]))] == [[1, 2], [], []]
    assert len(Ragged.from_rows([]).surround([1], [2])) == 0
