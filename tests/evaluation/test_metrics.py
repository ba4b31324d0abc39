"""Every metric on cases worked by hand, against a plain loop, and against mteb and beir."""

import copy
from math import log2

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from beir.retrieval.evaluation import EvaluateRetrieval
from hypothesis import given, settings
from hypothesis import strategies as st
from mteb._evaluators import RetrievalEvaluator
from mteb._evaluators.retrieval_metrics import make_score_dict

from harness.evaluation.metrics import (
    DEPTHS,
    NAMES,
    per_query_metrics,
    per_query_table,
    qrels_table,
    scored_run,
    stored_metrics,
    stored_qrels,
    stored_runs,
)


def measured(found, grades, **options):
    """One query's values by name."""
    (values,) = per_query_metrics({"q": found}, {"q": grades}, **options).values
    return dict(zip(NAMES, values.tolist(), strict=True))


def ranked(*documents):
    return {document: float(len(documents) - place) for place, document in enumerate(documents)}


def test_names_are_those_of_mteb():
    depths = (1, 3, 5, 10, 20, 100, 1000)
    metrics = ("ndcg", "map", "recall", "precision", "mrr", "hit_rate")
    assert depths == DEPTHS
    assert [f"{metric}_at_{depth}" for metric in metrics for depth in depths] == list(NAMES)


def test_graded_judgements_and_an_unjudged_document():
    values = measured(ranked("fair", "unjudged", "best"), {"fair": 1, "best": 3, "missed": 2})
    best = 3 + 2 / log2(3) + 1 / 2
    assert values["ndcg_at_1"] == pytest.approx(1 / 3)
    assert values["ndcg_at_3"] == pytest.approx((1 + 3 / 2) / best)
    assert values["ndcg_at_1000"] == values["ndcg_at_3"]
    assert values["map_at_1"] == pytest.approx(1 / 3)
    assert values["map_at_3"] == pytest.approx((1 + 2 / 3) / 3)
    assert values["recall_at_1"] == pytest.approx(1 / 3)
    assert values["recall_at_3"] == pytest.approx(2 / 3)
    assert values["precision_at_1"] == 1
    assert values["precision_at_3"] == pytest.approx(2 / 3)
    assert values["precision_at_5"] == pytest.approx(2 / 5)
    assert values["precision_at_1000"] == pytest.approx(2 / 1000)
    assert values["mrr_at_1"] == values["hit_rate_at_1"] == 1


def test_more_relevant_documents_than_ranks():
    found = ranked("no", "a", "b", "c")
    values = measured(found, {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "no": 0})
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    assert values["ndcg_at_1"] == values["mrr_at_1"] == values["hit_rate_at_1"] == 0
    assert values["ndcg_at_3"] == pytest.approx((1 / log2(3) + 1 / log2(4)) / ideal)
    assert values["map_at_3"] == pytest.approx((1 / 2 + 2 / 3) / 5)
    assert values["map_at_5"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 5)
    assert values["recall_at_3"] == pytest.approx(2 / 5)
    assert values["recall_at_5"] == pytest.approx(3 / 5)
    assert values["precision_at_3"] == pytest.approx(2 / 3)
    assert values["mrr_at_3"] == values["mrr_at_1000"] == 1 / 2
    assert values["hit_rate_at_3"] == 1


def test_the_first_relevant_document_at_every_depth():
    found = ranked(*(f"d{place}" for place in range(1, 31)))
    values = measured(found, {"d6": 1})
    assert [values[f"mrr_at_{depth}"] for depth in DEPTHS] == [0, 0, 0, *[1 / 6] * 4]
    assert [values[f"hit_rate_at_{depth}"] for depth in DEPTHS] == [0, 0, 0, 1, 1, 1, 1]
    assert values["ndcg_at_10"] == pytest.approx(1 / log2(7))


def test_which_queries_count():
    run = {"nothing": {}, "unjudged": {"d": 1.0}, "no_grade": {"d": 1.0}, "found": {"d": 1.0}}
    run["no_judgement"] = {"d": 1.0}
    qrels = {
        "found": {"d": 1},
        "nothing": {"d": 1},
        "no_grade": {"d": 0, "e": -1},
        "no_judgement": {},
        "not_searched": {"d": 1},
    }
    table = per_query_metrics(run, qrels)
    assert table.query_ids == ("nothing", "no_grade", "found")
    assert (table.values[:2] == 0).all()
    assert (table.values[2] == [1 / d if "precision" in n else 1 for n, d in names()]).all()
    empty = per_query_metrics({}, qrels)
    assert (empty.query_ids, empty.values.shape) == ((), (0, len(NAMES)))


def names():
    return [(name, int(name.rpartition("_")[2])) for name in NAMES]


def test_identical_ids_are_dropped_by_beir_and_only_on_some_tasks_by_mteb():
    run = {"x": {"x": 2.0, "d": 1.0}}
    qrels = {"x": {"d": 1}}

    def beir(**options):
        return EvaluateRetrieval.evaluate(qrels, copy.deepcopy(run), [1], **options)[0]["NDCG@1"]

    def own(**options):
        return per_query_metrics(run, qrels, **options).values[0, NAMES.index("ndcg_at_1")]

    assert own() == mteb_scores(run, qrels)["ndcg_at_1"] == 0
    assert beir(ignore_identical_ids=False) == 0
    assert own(ignore_identical_ids=True) == beir() == 1
    assert mteb_scores(run, qrels, ignore_identical_ids=True)["ndcg_at_1"] == 1
    assert run == {"x": {"x": 2.0, "d": 1.0}}


def test_the_first_result_is_skipped():
    found = {"third": 1.0, "first": 3.0, "second": 2.0}
    grades = {"first": 1, "third": 1}
    assert measured(found, grades)["mrr_at_3"] == 1
    skipped = measured(found, grades, skip_first_result=True)
    assert skipped["mrr_at_3"] == skipped["recall_at_3"] == 1 / 2
    assert skipped["hit_rate_at_1"] == 0
    assert set(measured({}, grades, skip_first_result=True).values()) == {0.0}
    left = scored_run(
        {"q": {"q": 3.0, "a": 2.0, "b": 1.0}}, ignore_identical_ids=True, skip_first_result=True
    )
    assert left == {"q": {"b": 1.0}}


def plain(found, grades, depth):
    """All six metrics of one query, in the order of their names."""
    order = sorted(found, key=found.get, reverse=True)[:depth]
    gains = [max(grades.get(document, 0), 0) for document in order]
    relevant = sum(grade > 0 for grade in grades.values())
    if not relevant:
        return [0.0] * 6
    ideal = sorted((max(grade, 0) for grade in grades.values()), reverse=True)[:depth]
    hits = [place for place, gain in enumerate(gains, start=1) if gain > 0]
    precisions = [count / place for count, place in enumerate(hits, start=1)]
    return [
        sum(g / log2(i + 2) for i, g in enumerate(gains))
        / sum(g / log2(i + 2) for i, g in enumerate(ideal)),
        sum(precisions) / relevant,
        len(hits) / relevant,
        len(hits) / depth,
        1 / hits[0] if hits else 0.0,
        float(bool(hits)),
    ]


documents = st.sampled_from([f"d{number}" for number in range(40)])
runs = st.dictionaries(
    st.sampled_from("abcdef"),
    st.lists(documents, unique=True, max_size=30).map(lambda found: ranked(*found)),
    max_size=6,
)
judgements = st.dictionaries(
    st.sampled_from("abcdefg"), st.dictionaries(documents, st.integers(-1, 3), max_size=25)
)


def check_against_plain(run, qrels):
    table = per_query_metrics(run, qrels)
    assert table.query_ids == tuple(query for query in run if qrels.get(query))
    for query, values in zip(table.query_ids, table.values, strict=True):
        by_depth = [plain(run[query], qrels[query], depth) for depth in DEPTHS]
        assert values == pytest.approx(np.array(by_depth).T.ravel(), abs=1e-12)


@given(runs, judgements)
def test_equals_a_plain_loop(run, qrels):
    check_against_plain(run, qrels)


def test_equals_a_plain_loop_at_great_depth():
    random = np.random.default_rng(3)
    identifiers = [f"d{number}" for number in range(3000)]
    run = {f"q{q}": ranked(*random.choice(identifiers, 1500, replace=False)) for q in range(5)}
    qrels = {
        query: dict(zip(random.choice(identifiers, 600), random.integers(0, 4, 600), strict=True))
        for query in run
    }
    qrels = {q: {str(d): int(g) for d, g in found.items()} for q, found in qrels.items()}
    check_against_plain(run, qrels)


@pytest.mark.parametrize("seed", range(20))
def test_equals_trec_eval_bit_for_bit(seed):
    """Its loops add up down the ranks."""
    random = np.random.default_rng(seed)
    identifiers = np.array([f"d{number}" for number in range(2000)])
    run, qrels = {}, {}
    for query in ("q1", "q2", "q3"):
        run[query] = ranked(*random.choice(identifiers, random.integers(1, 1300), replace=False))
        judged = random.choice(identifiers, random.integers(1, 1500), replace=False)
        grades = random.integers(-1, 4, len(judged))
        qrels[query] = {str(d): int(g) for d, g in zip(judged, grades, strict=True)}
    names = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P"}
    names["hit_rate"] = "success"
    depths = ",".join(map(str, DEPTHS))
    measures = {f"{theirs}.{depths}" for theirs in names.values()}
    expected = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    table = per_query_metrics(run, qrels)
    for query, values in zip(table.query_ids, table.values, strict=True):
        for name, value in zip(NAMES, values.tolist(), strict=True):
            metric, _, depth = name.rpartition("_at_")
            if metric in names:
                assert value == expected[query][f"{names[metric]}_{depth}"]


def mteb_scores(run, qrels, **options):
    """What mteb writes into a result."""
    found = RetrievalEvaluator.evaluate(
        None, copy.deepcopy(qrels), copy.deepcopy(run), DEPTHS, **options
    )
    parts = {k: v for k, v in found._asdict().items() if k not in ("all_scores", "map")}
    return make_score_dict(**parts, _map=found.map, task_scores={})


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=30)
@given(runs.filter(bool), judgements, st.booleans(), st.booleans())
def test_means_are_the_scores_of_mteb(run, qrels, identical, skip):
    qrels = {query: grades for query, grades in qrels.items() if grades}
    run = {query: found | {query: 99.0} for query, found in run.items() if query in qrels}
    options = {"ignore_identical_ids": identical, "skip_first_result": skip}
    if run:
        scores = mteb_scores(run, qrels, **options)
        means = per_query_metrics(run, qrels, **options).values.mean(axis=0)
        assert means == pytest.approx([scores[name] for name in NAMES], abs=1e-5)


def test_stored_and_read_back(tmp_path):
    run = {"q1": {"a": 1.0}, "q2": {}, "q3": {"b": 2.0, "c": 1.0}}
    qrels = {"q1": {"a": 1, "b": -1}, "q2": {"a": 2}, "q3": {"c": 3}}
    first = per_query_metrics(run, qrels, ignore_identical_ids=True)
    second = per_query_metrics({"q3": run["q3"]}, qrels, ignore_identical_ids=True)
    metrics = [per_query_table("dev", "", second), per_query_table("test", "en", first)]
    judged = [qrels_table("dev", "", {}), qrels_table("test", "en", qrels)]
    pq.write_table(pa.concat_tables(metrics), tmp_path / "metrics.parquet")
    pq.write_table(pa.concat_tables(judged), tmp_path / "qrels.parquet")
    table = pq.read_table(tmp_path / "metrics.parquet")
    assert table.column_names == ["split", "subset", "query_id", *NAMES]
    assert set(table.schema.types[3:]) == {pa.float64()}
    back = stored_metrics(table)
    assert list(back) == [("dev", ""), ("test", "en")]
    for found, expected in zip(back.values(), (second, first), strict=True):
        assert found.query_ids == expected.query_ids
        assert (found.values == expected.values).all()
        assert (found.ignore_identical_ids, found.skip_first_result) == (True, False)
    table = pq.read_table(tmp_path / "qrels.parquet")
    assert table.column_names == ["split", "subset", "query_id", "document_id", "grade"]
    assert table.schema.field("grade").type == pa.int32()
    assert stored_qrels(table) == {("test", "en"): qrels}


def test_stored_rankings_come_back_without_ties():
    table = pa.table(
        {
            "split": ["test"] * 5,
            "subset": ["b", "a", "a", "a", "a"],
            "query_id": ["q", "q2", "q2", "q2", "q1"],
            "rank": pa.array([1, 1, 2, 3, 1], pa.int32()),
            "document_id": ["d", "x", "y", "z", "x"],
            "score": pa.array([1, 0.5, 0.5, 0.25, 0.5], pa.float32()),
        }
    )
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    assert stored_runs(table) == {
        ("test", "a"): {"q2": {"x": 0.5, "y": below, "z": 0.25}, "q1": {"x": 0.5}},
        ("test", "b"): {"q": {"d": 1.0}},
    }
    assert stored_runs(table.slice(0, 0)) == {}
