"""TREC files: their text, their ids, and what other tools compute from them."""

import copy
import json

import mteb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from beir.retrieval.evaluation import EvaluateRetrieval
from hypothesis import example, given
from hypothesis import strategies as st

from harness.config import Bm25Config
from harness.evaluation.bridge import model_meta
from harness.evaluation.metrics import (
    DEPTHS,
    METRICS,
    NAMES,
    per_query_metrics,
    per_query_table,
    qrels_table,
)
from harness.evaluation.tasks.folder import folder_task
from harness.evaluation.trec import read_scored, trec_id, write_trec_qrels, write_trec_run
from harness.retrieval.bm25 import Bm25Retriever
from harness.retrieval.ranking import to_run
from harness.retrieval.retriever import Dependencies

PLACE = ("test", "default")


def test_a_run_line_by_line(tmp_path):
    below = float(np.nextafter(np.float32(0.1), np.float32(0)))
    run = {"q1": {"b": below, "a": float(np.float32(0.1))}, "q 2": {}, "q 3": {"": -1e-07}}
    write_trec_run(tmp_path / "a" / "x.run", run, tag="my run")
    assert (tmp_path / "a" / "x.run").read_bytes() == (
        b"q1 Q0 a 1 0.10000000149011612 my%20run\n"
        b"q1 Q0 b 2 0.09999999403953552 my%20run\n"
        b"q%203 Q0 % 1 -1e-07 my%20run\n"
    )


def test_judgements_line_by_line(tmp_path):
    write_trec_qrels(tmp_path / "x.qrels", {"q\t1": {"d": 1, "é\n": -1}, "q2": {"100%": 3}})
    assert (tmp_path / "x.qrels").read_text(encoding="utf-8") == (
        "q%091 0 d 1\nq%091 0 é%0A -1\nq2 0 100% 3\n"
    )


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("MED-10", "MED-10"),
        ("Zürich_%", "Zürich_%"),
        ("a%2f", "a%2f"),
        ("", "%"),
        ("%", "%25"),
        ("%20", "%2520"),
        ("a b%", "a%20b%25"),
        ("a\u00a0b", "a%C2%A0b"),
        ("\x00\x85\u2028", "%00%C2%85%E2%80%A8"),
    ],
)
def test_ids(plain, written):
    assert trec_id(plain) == written


@given(st.text(), st.text())
@example("a b", "a%20b")
@example("", "%")
def test_ids_are_one_column_and_stay_apart(one, other):
    assert trec_id(one).split() == [trec_id(one)]
    assert trec_id(one).isprintable()
    assert (trec_id(one) == trec_id(other)) == (one == other)


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.lists(st.text(max_size=3), unique=True, min_size=1, max_size=8),
        max_size=3,
    ),
    st.lists(st.floats(-(2**100), 2**100, width=32), min_size=8, max_size=8, unique=True),
)
def test_runs_are_read_back_with_their_scores(tmp_path_factory, found, scores):
    path = tmp_path_factory.mktemp("runs") / "x.run"
    run = {query: dict(zip(ids, scores, strict=False)) for query, ids in found.items()}
    write_trec_run(path, run, tag="tag")
    with path.open(encoding="utf-8", newline="\n") as file:
        back = pytrec_eval.parse_run(file)
    assert back == {
        trec_id(query): {trec_id(document): score for document, score in results.items()}
        for query, results in run.items()
    }


class Lexical:
    """BM25 as a search model of mteb; keeps its last ranking and run."""

    mteb_model_meta = model_meta("baseline/bm25", "1", {})

    def index(self, corpus, **_):
        rows = sorted(zip(corpus["id"], corpus["title"], corpus["text"], strict=True))
        self.documents = [row[0] for row in rows]
        dependencies = Dependencies(name="bm25", encoder=None, head=None, retrievers={})
        self.retriever = Bm25Retriever(Bm25Config(), dependencies=dependencies)
        self.retriever.index(Words([f"{title} {text}".strip() for _, title, text in rows]))

    def search(self, queries, *, top_k, **_):
        self.queries = list(queries["id"])
        self.ranking = self.retriever.search(Words(queries["text"]), top_k)
        self.run = to_run(self.ranking, self.queries, self.documents)
        return copy.deepcopy(self.run)


class Words:
    def __init__(self, texts):
        self.texts = list(texts)

    def __len__(self):
        return len(self.texts)

    def derived(self, key, compute):
        return compute()


def store(folder, search, qrels):
    """The details folder of a result, with the scores as they were before ties were broken."""
    found = search.ranking.documents >= 0
    query, rank = np.nonzero(found)
    rankings = {
        "split": pa.array(["test"] * len(query)).dictionary_encode(),
        "subset": pa.array(["default"] * len(query)).dictionary_encode(),
        "query_id": pa.array([search.queries[row] for row in query]),
        "rank": pa.array(rank + 1, pa.int32()),
        "document_id": pa.array([search.documents[d] for d in search.ranking.documents[found]]),
        "score": pa.array(search.ranking.scores[found]),
    }
    metrics = per_query_metrics(search.run, qrels)
    pq.write_table(pa.table(rankings), folder / "rankings.parquet")
    pq.write_table(per_query_table(*PLACE, metrics), folder / "per_query.parquet")
    pq.write_table(qrels_table(*PLACE, qrels), folder / "qrels.parquet")
    return dict(zip(NAMES, metrics.values.mean(axis=0).tolist(), strict=True))


@pytest.mark.filterwarnings("ignore")
def test_all_tools_agree_on_bm25_on_scifact(shared, tmp_path, monkeypatch):
    folder = shared / "data" / "beir" / "scifact"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "ir_datasets"))  # ranx makes it
    import ranx

    task = folder_task(folder)
    qrels = copy.deepcopy(task.dataset["default"]["test"]["relevant_docs"])
    search = Lexical()
    evaluated = mteb.evaluate(search, task, cache=None, co2_tracker=False, show_progress_bar=False)
    result = json.loads(evaluated.task_results[0].model_dump_json())
    (by_mteb,) = result["scores"]["test"]
    own = store(tmp_path, search, qrels)
    assert len(qrels) == 300
    assert own == pytest.approx({name: by_mteb[name] for name in NAMES}, abs=1e-5)

    assert read_scored(tmp_path) == {PLACE: (search.run, qrels)}
    run, judged = read_scored(tmp_path)[PLACE]
    write_trec_run(tmp_path / "scifact.run", run, tag="bm25")
    write_trec_qrels(tmp_path / "scifact.qrels", judged)
    with (tmp_path / "scifact.run").open() as runs, (tmp_path / "scifact.qrels").open() as grades:
        read_run, read_qrels = pytrec_eval.parse_run(runs), pytrec_eval.parse_qrel(grades)
    assert read_run == search.run
    assert read_qrels == qrels

    found = EvaluateRetrieval.evaluate(read_qrels, copy.deepcopy(read_run), list(DEPTHS))
    short = {"NDCG": "ndcg", "MAP": "map", "Recall": "recall", "P": "precision"}
    by_beir = {
        f"{short[name.split('@')[0]]}_at_{name.split('@')[1]}": value
        for table in found
        for name, value in table.items()
    }
    assert len(by_beir) == 4 * len(DEPTHS)
    assert {name: own[name] for name in by_beir} == pytest.approx(by_beir, abs=1e-5)

    wanted = {f"{metric}@{depth}": f"{metric}_at_{depth}" for metric in METRICS for depth in DEPTHS}
    by_ranx = ranx.evaluate(
        ranx.Qrels.from_file(str(tmp_path / "scifact.qrels"), kind="trec"),
        ranx.Run.from_file(str(tmp_path / "scifact.run"), kind="trec"),
        list(wanted),
        make_comparable=True,
    )
    assert {wanted[name]: value for name, value in by_ranx.items()} == pytest.approx(own, abs=1e-9)


def test_what_a_task_leaves_out_is_not_in_its_run(tmp_path):
    rankings = {
        "split": ["test"] * 3,
        "subset": ["default"] * 3,
        "query_id": ["x", "x", "unjudged"],
        "rank": pa.array([1, 2, 1], pa.int32()),
        "document_id": ["x", "d", "d"],
        "score": pa.array([2, 1, 1], pa.float32()),
    }
    qrels = {"x": {"d": 1}, "nothing": {"d": 1}, "never searched": {"d": 1}}
    run = {"x": {"x": 2.0, "d": 1.0}, "unjudged": {"d": 1.0}, "nothing": {}}
    metrics = per_query_metrics(run, qrels, ignore_identical_ids=True)
    pq.write_table(pa.table(rankings), tmp_path / "rankings.parquet")
    pq.write_table(per_query_table(*PLACE, metrics), tmp_path / "per_query.parquet")
    pq.write_table(qrels_table(*PLACE, qrels), tmp_path / "qrels.parquet")
    judged = {"x": {"d": 1}, "nothing": {"d": 1}}
    assert read_scored(tmp_path) == {PLACE: ({"x": {"d": 1.0}, "nothing": {}}, judged)}
