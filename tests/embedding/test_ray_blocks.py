"""Blocks of prompts: every row once, the same whatever the number of workers, and back again."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.ray_blocks import block_rows, of_table, to_table, vectors_of
from harness.embedding.spreading import computed_lengths
from tests.embedding.passes import prompts_of


def test_blocks_begin_with_every_so_many_tokens():
    lengths = np.array([3, 0, 7, 5, 1, 5])
    blocks = block_rows(lengths, 8)  # longest first 7 5 5 3 1 1: they begin at 0 7 12 17 20 21
    assert [block.tolist() for block in blocks] == [[2, 3], [5], [0, 4, 1]]
    assert block_rows(np.zeros(0, np.int64), 8) == []


@given(st.lists(st.integers(0, 40), min_size=1), st.integers(1, 100))
def test_every_row_is_in_one_block_and_none_is_much_too_large(lengths, most):
    lengths = np.array(lengths)
    blocks = block_rows(lengths, most)
    order = np.concatenate(blocks)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[order]) <= 0).all()
    for block in blocks:
        taken = np.maximum(lengths[block], 1)
        assert taken[:-1].sum() < most


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), min_size=1, max_size=8), st.data())
def test_a_table_gives_back_rows_prompts_and_keys(rows, data):
    starts = [data.draw(st.integers(0, len(row))) for row in rows]
    prompts = prompts_of(rows, starts)
    keys = [bytes([place]) * 16 for place in range(len(rows))]
    chosen = np.array(data.draw(st.permutations(range(len(rows)))), np.int64)
    table = to_table(prompts, chosen, keys)
    cut = data.draw(st.integers(0, len(rows)))
    for whole in (table, pa.concat_tables([table.slice(0, cut), table.slice(cut)])):
        found, part, own = of_table(whole)
        np.testing.assert_array_equal(found, chosen)
        assert [part.ids[place].tolist() for place in range(len(chosen))] == [
            rows[row] for row in chosen
        ]
        np.testing.assert_array_equal(part.text_start, np.array(starts)[chosen])
        np.testing.assert_array_equal(part.text_stop, prompts.text_stop[chosen])
        assert own == [keys[row] for row in chosen]
    assert of_table(to_table(prompts, chosen))[2] is None


def test_vectors_of_a_slice():
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 3)
    table = pa.table({"vector": column})
    np.testing.assert_array_equal(vectors_of(table), vectors)
    np.testing.assert_array_equal(vectors_of(table.slice(1, 2)), vectors[1:3])


def test_computed_lengths():
    lengths = np.array([5, 2, 0])
    assert computed_lengths(lengths, 15).tolist() == [5, 5, 5]  # padded to the longest
    assert computed_lengths(lengths, 8).tolist() == [5, 2, 1]  # packed, an empty text takes one
