"""What is kept of single queries: the best documents that a score counts, texts, explanations."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import BadInputError
from harness.evaluation.explanations import Explanation
from harness.evaluation.results import details_folder
from harness.reporting.query_facts import FoundDocument, QueryFacts, query_facts, read_metrics
from tests.reporting.stored import PLACE, QRELS, SECOND, write_stored

TEXTS = {("query", "q2"): "why?", ("document", "r"): "because", ("document", "d1"): "no"}
EXPLAINED = {
    **{"split": "test", "subset": "default", "query_id": "q2", "document_id": "r"},
    **{"role": "relevant", "rank": 2, "score": 1.5, "query_tokens": ["a"], "query_weights": [2.0]},
    **{"matched_tokens": ["a"], "contributions": [1.5], "document_tokens": ["a", "b"]},
    "document_weights": [0.75, 0.5],
}


@pytest.fixture
def facts(tmp_path):
    def read(queries, *, depth=3, **given):
        stored = write_stored(tmp_path, **{"places": {PLACE: (SECOND, QRELS)}, **given})
        details = details_folder(stored.path)
        keys = [(PLACE, query) for query in queries]
        found = query_facts(details, keys, read_metrics(details), depth=depth)
        assert list(found) == keys
        return {query: one for (_, query), one in found.items()}

    return read


def test_the_best_documents_and_their_texts(facts):
    found = facts(["q2", "q4"], depth=2, texts=TEXTS, explanations=[EXPLAINED])
    no, because = FoundDocument("d1", "no", False), FoundDocument("r", "because", True)
    matched = Explanation(*("r", 2, 1.5, [("a", 2.0)], [("a", 1.5)], [("a", 0.75), ("b", 0.5)]))
    assert found["q2"] == QueryFacts("why?", [no, because], {"relevant": matched}, {"r": "because"})
    assert found["q4"] == QueryFacts("", [no, FoundDocument("d2", "", False)])


def test_results_of_earlier_versions_have_ids_alone(facts):
    assert facts(["q1"], depth=1)["q1"] == QueryFacts("", [FoundDocument("r", "", True)])


def test_what_a_score_leaves_out(facts):
    places = {
        PLACE: ({"a": {"a": 3.0, "b": 2.0, "c": 1.0}, "x": {}}, {"a": {"c": 1}, "x": {"a": 1}})
    }
    found = facts(["a", "x"], places=places, ignore_identical_ids=True, skip_first_result=True)
    assert [document.id for document in found["a"].documents] == ["c"]
    assert found["x"].documents == []


def test_places_stay_apart(facts):
    other = ("test", "other")
    places = {
        PLACE: ({"q": {"a": 1.0}}, {"q": {"a": 1}}),
        other: ({"q": {"b": 1.0}}, {"q": {"a": 1}}),
    }
    assert facts(["q"], places=places)["q"].documents == [FoundDocument("a", "", True)]


def test_a_task_that_ranks_nothing_has_no_values(tmp_path):
    assert read_metrics(details_folder(write_stored(tmp_path).path)) == {}


@pytest.mark.parametrize("name", ["rankings", "qrels", "texts", "explanations", "per_query"])
def test_a_damaged_file_is_named(facts, tmp_path, refusal, name):
    facts(["q1"], texts=TEXTS, explanations=[EXPLAINED])
    (file,) = tmp_path.glob(f"*/*/*/*/toy/{name}.parquet")
    metrics = read_metrics(file.parent)
    file.write_bytes(b"PAR1")
    message = refusal(
        lambda: query_facts(
            file.parent,
            [(PLACE, "q1")],
            read_metrics(file.parent) if name == "per_query" else metrics,
        )
    )
    assert message.startswith(f"{file} is not as `harness run` writes it (")


def test_scores_that_are_no_numbers_are_refused(tmp_path):
    stored = write_stored(tmp_path, places={PLACE: (SECOND, QRELS)})
    file = details_folder(stored.path) / "per_query.parquet"
    table = pq.read_table(file)
    number = table.column_names.index("ndcg_at_10")
    values = [float("nan"), *table["ndcg_at_10"].to_pylist()[1:]]
    pq.write_table(table.set_column(number, "ndcg_at_10", pa.array(values)), file)
    with pytest.raises(BadInputError, match="it holds what is no number"):
        read_metrics(details_folder(stored.path))
