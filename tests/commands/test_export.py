"""`harness export` as a user runs it, on results laid out as `harness run` lays them out."""

import json
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval

from harness.cli import _main
from harness.evaluation.metrics import per_query_metrics, per_query_table, qrels_table

RUN = {"q1": {"a": 2.0, "b": 1.0}, "q2": {}}
QRELS = {"q1": {"b": 1}, "q2": {"a": 2}}
FOLDER = "org__model/r1/experiments"


@pytest.fixture
def export(tmp_path, capfd, monkeypatch):
    """Run `harness export` in this process: status, standard output, lines of standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main(["export", *arguments])
        out, err = capfd.readouterr()
        return status, out, err.splitlines()

    return run


@pytest.fixture
def result(tmp_path):
    """Writes one result: runs and judgements by (split, subset)."""

    def write(task="toy", *, experiment="dense-1", places=None, revision="data1", **options):
        places = places or {("test", "default"): (RUN, QRELS)}
        path = tmp_path / "results" / FOLDER / experiment / f"{task}.json"
        details = path.with_suffix("")
        details.mkdir(parents=True)
        scores = {split: [{"main_score": 0.5, "hf_subset": subset}] for split, subset in places}
        record = {"task_name": task, "dataset_revision": revision, "scores": scores}
        path.write_text(json.dumps(record))
        (path.parent / "model_meta.json").write_text("{}")
        for name in ("experiment", "environment", "cost"):
            (details / f"{name}.json").write_text("{}")
        for name, tables in tables_of(places, options).items():
            pq.write_table(pa.concat_tables(tables), details / f"{name}.parquet")
        return path

    return write


def tables_of(places, options):
    return {
        "rankings": [rankings_table(place, run) for place, (run, _) in places.items()],
        "qrels": [qrels_table(*place, qrels) for place, (_, qrels) in places.items()],
        "per_query": [
            per_query_table(*place, per_query_metrics(run, qrels, **options))
            for place, (run, qrels) in places.items()
        ],
    }


def rankings_table(place, run):
    rows = [
        (*place, query, rank, document, score)
        for query, found in run.items()
        for rank, (document, score) in enumerate(found.items(), start=1)
    ]
    types = [pa.string()] * 3 + [pa.int32(), pa.string(), pa.float32()]
    names = ["split", "subset", "query_id", "rank", "document_id", "score"]
    columns = zip(*rows, strict=True) if rows else [[]] * 6
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], names
    )


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_run_and_its_judgements(export, result, tmp_path):
    result()
    status, out, err = export()
    run, qrels = (
        "trec/org__model/r1/dense-1/toy.test.default.run",
        "trec/qrels/toy.data1.test.default.qrels",
    )
    assert status == 0
    assert out == f"{run}\t{qrels}\n"
    assert files(tmp_path / "trec") == [run.removeprefix("trec/"), qrels.removeprefix("trec/")]
    assert (tmp_path / run).read_text() == "q1 Q0 a 1 2.0 dense-1\nq1 Q0 b 2 1.0 dense-1\n"
    assert (tmp_path / qrels).read_text() == "q1 0 b 1\nq2 0 a 2\n"
    assert err == [
        "1 runs: trec; their judgements: trec/qrels",
        f"for instance: trec_eval -c -m ndcg_cut.10 {qrels} {run}",
        f"          or: ir_measures {qrels} {run} nDCG@10",
    ]


def test_every_experiment_split_and_subset(export, result, tmp_path):
    places = {("test", "en"): (RUN, QRELS), ("dev", "e.n"): ({"q1": {}}, {"q1": {"a": 1}})}
    result("Several", places=places)
    result("Several", experiment="bm25-2", places=places)
    result("other.task", revision="r.2")
    status, out, _ = export("export_dir=a folder/x")
    assert status == 0
    assert len(out.splitlines()) == 5
    folder = tmp_path / "a folder" / "x"
    assert files(folder) == [
        "org__model/r1/bm25-2/Several.dev.e%2En.run",
        "org__model/r1/bm25-2/Several.test.en.run",
        "org__model/r1/dense-1/Several.dev.e%2En.run",
        "org__model/r1/dense-1/Several.test.en.run",
        "org__model/r1/dense-1/other.task.test.default.run",
        "qrels/Several.data1.dev.e%2En.qrels",
        "qrels/Several.data1.test.en.qrels",
        "qrels/other.task.r%2E2.test.default.qrels",
    ]
    assert (folder / "org__model/r1/bm25-2/Several.dev.e%2En.run").read_text() == ""
    assert (folder / "qrels/Several.data1.dev.e%2En.qrels").read_text() == "q1 0 a 1\n"


def test_paths_in_the_examples_can_be_pasted(export, result):
    result()
    _, _, err = export("export_dir=a folder")
    qrels, run = "toy.data1.test.default.qrels", "toy.test.default.run"
    assert err[1].endswith(f"'a folder/qrels/{qrels}' 'a folder/org__model/r1/dense-1/{run}'")


def test_only_the_tasks_asked_for(export, result, tmp_path):
    for task in ("one", "two", "three"):
        result(task)
    assert export("task=two")[1].count("\n") == 1
    assert files(tmp_path / "trec" / "qrels") == ["two.data1.test.default.qrels"]
    shutil.rmtree(tmp_path / "trec")
    assert export("task=[one,three]")[1].count("\n") == 2
    assert [name.partition(".")[0] for name in files(tmp_path / "trec" / "qrels")] == [
        "one",
        "three",
    ]
    shutil.rmtree(tmp_path / "trec")
    assert export("task=[one,four]") == (
        2,
        "",
        ["harness: task=four has no results; those that have: one, three, two"],
    )
    assert export("task=[1]")[2] == [
        "harness: task=[1] must be task names, for instance task=SciFact"
    ]
    assert not (tmp_path / "trec").exists()


def test_identical_ids_are_left_out_where_the_task_says_so(export, result, tmp_path):
    places = {("test", "default"): ({"a": {"a": 2.0, "b": 1.0}}, {"a": {"b": 1}})}
    result("Kept", places=places)
    result("Dropped", places=places, ignore_identical_ids=True)
    export()
    folder = tmp_path / "trec/org__model/r1/dense-1"
    assert (folder / "Kept.test.default.run").read_text().count("\n") == 2
    assert (folder / "Dropped.test.default.run").read_text() == "a Q0 b 1 1.0 dense-1\n"


def test_ids_that_would_break_the_format_are_said_once(export, result, tmp_path):
    result(places={("test", "default"): ({"q 1": {"a": 1.0}}, {"q 1": {"b\n": 1}})})
    result("two", places={("test", "default"): ({"q 1": {"a": 1.0}}, {"q 1": {"a": 1}})})
    status, _, err = export()
    assert status == 0
    assert [line for line in err if "%XX" in line] == [
        "ids with white space or unprintable characters are written with %XX for each of them"
    ]
    assert (tmp_path / "trec/qrels/toy.data1.test.default.qrels").read_text() == "q%201 0 b%0A 1\n"


def test_tasks_that_rank_nothing_are_counted(export, result):
    result()
    for task in ("sts", "pairs"):
        details = result(task).with_suffix("")
        for name in ("rankings", "qrels", "per_query"):
            (details / f"{name}.parquet").unlink()
    status, out, err = export()
    assert (status, len(out.splitlines())) == (0, 1)
    assert err[0] == "skipped: 2 results of tasks that rank nothing"


@pytest.mark.parametrize("missing", ["qrels", "per_query"])
def test_results_made_before_judgements_were_stored(export, result, missing):
    result()
    for experiment in ("bm25-2", "bm25-3"):
        old = result(experiment=experiment)
        (old.with_suffix("") / f"{missing}.parquet").unlink()
    status, out, err = export()
    assert (status, len(out.splitlines())) == (1, 1)
    assert err[0] == (
        f"left out: 2 results without stored judgements, the first results/{FOLDER}/bm25-2/toy.json"
        "; delete them and run again: they will be computed again"
    )


def test_what_cannot_be_read_is_left_out(export, result):
    result()
    result("broken").write_text("{")
    table = result("cut").with_suffix("") / "qrels.parquet"
    table.write_bytes(table.read_bytes()[:-20])
    other = result("other").with_suffix("") / "per_query.parquet"
    pq.write_table(pq.read_table(other).drop_columns(["mrr_at_10"]), other)
    bare = result("bare").with_suffix("") / "per_query.parquet"
    pq.write_table(pq.read_table(bare).replace_schema_metadata(None), bare)
    lost = result("lost").with_suffix("") / "qrels.parquet"
    pq.write_table(pq.read_table(lost).slice(1), lost)
    status, out, err = export()
    assert (status, len(out.splitlines())) == (1, 1)
    broken, *lines = [line for line in err if line.startswith("left out: ")]
    folder = f"results/{FOLDER}/dense-1"
    assert broken.startswith(f"left out: {folder}/broken.json cannot be read as JSON; delete")
    for line, (task, file) in zip(
        lines,
        (("bare", "per_query"), ("cut", "qrels"), ("lost", "per_query"), ("other", "per_query")),
        strict=True,
    ):
        assert line.startswith(f"left out: {folder}/{task}/{file}.parquet is not as `harness run` ")
        assert line.endswith(f"; delete {folder}/{task}.json and it will be computed again")


def test_refusals(export, result, tmp_path):
    assert export() == (
        2,
        "",
        [
            "harness: results_dir=results holds no results; run `harness run` first, or name "
            "another folder with results_dir=DIR"
        ],
    )
    result()
    (tmp_path / "file").write_text("")
    assert export("export_dir=file/x") == (
        2,
        "",
        [
            "harness: export_dir=file/x cannot be written (Not a directory); name another folder "
            "with export_dir=DIR"
        ],
    )
    for setting in ("results_dir", "export_dir"):
        assert export(f"{setting}=''")[::2] == (
            2,
            [f"harness: {setting} is empty; give a folder"],
        )
    assert files(tmp_path / "results")
    assert not (tmp_path / "trec").exists()


def test_names_too_long_for_a_file_stay_apart(export, result, tmp_path):
    places = {("s" * 60, "u" * 60): (RUN, QRELS)}
    for end in ("x", "y"):
        result("t" * 60, experiment=f"e-{end}", revision="r" * 60 + end, places=places)
    assert export()[0] == 0
    names = files(tmp_path / "trec" / "qrels")
    assert len(names) == 2
    assert all(name.startswith("t" * 60 + ".rrr") and len(name) < 200 for name in names)


def test_what_run_writes_scores_the_same_from_its_files(export, tmp_path):
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    texts = {"d 1": "cats purr", "d2": "dogs bark at cats", "d3": "cats and cats"}
    lines = [json.dumps({"_id": name, "text": text}) for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    queries = {"q 1": "cats", "q2": "elephants", "q3": "dogs"}
    lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    judged = "q 1\td 1\t1\nq 1\td2\t2\nq2\td3\t1\nq3\td3\t1\nq3\td2\t1\n"
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    settings = ["tasks=folder", f"tasks.path={folder}", "store_dir=store", "cost=off"]
    assert _main(["run", *settings, "retrieval=[bm25]"]) == 0
    status, out, _ = export()
    assert status == 0
    paths = [tmp_path / path for path in out.strip().split("\t")]
    with paths[0].open() as run, paths[1].open() as qrels:
        read_run, read_qrels = pytrec_eval.parse_run(run), pytrec_eval.parse_qrel(qrels)
    assert {query: len(found) for query, found in read_run.items()} == {"q%201": 3, "q3": 1}
    evaluator = pytrec_eval.RelevanceEvaluator(read_qrels, {"ndcg_cut.10"})
    values = [found["ndcg_cut_10"] for found in evaluator.evaluate(read_run).values()]
    (result,) = (tmp_path / "results").glob("*/*/experiments/*/toy.json")
    (score,) = json.loads(result.read_text())["scores"]["test"]
    assert 0 < sum(values) / len(queries) < 2 / 3
    assert sum(values) / len(queries) == pytest.approx(score["ndcg_at_10"], abs=1e-5)
