import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.reporting.collect import collect
from harness.reporting.query_scores import query_scores
from tests.reporting.written import place, write


def scores_of(root):
    faults = []
    return query_scores(collect(root).entries, faults), faults


def half(**given):
    return {"scores": place(ndcg_at_10=0.5, main_score=0.5), **given}


def test_the_same_queries_in_any_order_are_one_group(tmp_path):
    write(tmp_path, name="a", **half(per_query={"q1": 0.4, "q2": 0.6}))
    write(tmp_path, name="b", **half(per_query={"q2": 0.2, "q1": 0.8}))
    write(tmp_path, name="c", **half(per_query={"q1": 0.5, "q3": 0.5}))
    (both, alone), faults = scores_of(tmp_path)
    assert faults == []
    assert (both.query_ids, both.members, alone.members) == (("q1", "q2"), [0, 1], [2])
    np.testing.assert_array_equal(both.values, [[0.4, 0.8], [0.6, 0.2]])


def test_a_value_that_is_not_the_mean_of_its_queries_is_named(tmp_path):
    write(tmp_path, **half(per_query={"q1": 0.4, "q2": 0.7}))
    found, (fault,) = scores_of(tmp_path)
    assert found == []
    assert "whose mean is 0.5500 and not 0.5000" in fault


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("ndcg_at_10", ["a", "b"], "cannot be read"),
        ("query_id", [None, "q2"], "cannot be read"),
        ("query_id", ["q1", "q1"], "a query twice"),
    ],
)
def test_columns_that_are_not_as_they_should_be_are_named(tmp_path, column, values, said):
    path = write(tmp_path, **half(per_query={"q1": 0.4, "q2": 0.6}))
    file = path.with_suffix("") / "per_query.parquet"
    table = pq.read_table(file)
    number = table.column_names.index(column)
    pq.write_table(table.set_column(number, column, pa.array(values)), file)
    found, (fault,) = scores_of(tmp_path)
    assert found == []
    assert said in fault


def test_a_result_without_scores_of_queries_has_none(tmp_path):
    write(tmp_path, **half())
    assert scores_of(tmp_path) == ([], [])


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", None])
def test_a_broken_file_is_named_and_its_entry_has_no_interval(tmp_path, content):
    path = write(tmp_path, **half(per_query={"q1": 0.4, "q2": 0.6}))
    file = path.with_suffix("") / "per_query.parquet"
    file.write_bytes(file.read_bytes()[:-20] if content is None else content)
    found, (fault,) = scores_of(tmp_path)
    assert found == []
    assert str(file) in fault
    assert "will be computed again" in fault


def test_no_number_among_the_scores_is_named(tmp_path):
    write(tmp_path, **half(per_query={"q1": float("nan"), "q2": 0.5}))
    found, (fault,) = scores_of(tmp_path)
    assert found == []
    assert "no numbers" in fault
