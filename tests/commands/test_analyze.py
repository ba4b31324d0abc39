"""`harness analyze` as a user runs it: what it writes, what it prints, and what it refuses."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from harness.analysis import study_run
from harness.cli import _main
from tests.analysis.conftest import (
    DOCUMENTS,
    QUERIES,
    moved_model,
    tiny_embedder,
    write_collection,
)
from tests.evaluation.every_type import FOLDERS
from tests.evaluation.every_type import write_folder as write_typed

__all__ = ["tiny_embedder"]

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = {
    "heads": {"own": {"kind": "lm_head"}},
    "transforms": {"none": {"kind": "none"}},
    "documents": [{"doc_weight": "raw"}],
    "doc_top_k": [4, 16],
    "query_expansion": [0],
    "query_weight": ["idf"],
    "most_flops": 9,
}


def grid(**changes):
    """Overrides that ask for a study."""
    return ["parts=[study]", f"study={hydra(GRID | changes)}"]


def hydra(value):
    """A value in the grammar of overrides."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{hydra(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(hydra, value)) + "]"
    return str(value)


@pytest.fixture
def command(tmp_path, capfd, monkeypatch):
    """A command in this process and a folder of its own: status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main([str(argument) for argument in arguments])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def analyze(command, tmp_path, tiny_llama):
    """`harness analyze` of the random Llama on the collection."""
    write_collection(tmp_path / "tales")

    def run(*overrides, model=tiny_llama):
        return command(
            *("analyze", "model=local", f"model.path={model}", "head=lm_head"),
            *("tasks=folder", "tasks.path=[tales]", "backend.device=cpu", "store_dir=store"),
            *overrides,
        )

    return run


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


def written(tmp_path):
    folder = tmp_path / "analysis"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def figure(name):
    return {f"{name}.parquet", *(f"figures/{name}.{kind}" for kind in ("png", "svg", "csv"))}


def test_tables_figures_and_a_page(analyze, tmp_path):
    status, out, err = analyze("spectrum.examples=2", "format=json")
    assert status == 0, err
    assert err.splitlines() == [
        "tales: aligned tokens of 14 texts, 5 texts",
        "written to analysis/index.html",
    ]
    expected = {"index.html", "aligned_tokens.parquet"}
    for name in ("rates", "spectrum-tales", "sweep-tales"):
        expected |= figure(name)
    for name in (1, 2):
        expected |= figure(f"contributions-tales-{name}") | figure(f"adjusted-tales-{name}")
    assert written(tmp_path) == expected
    rows = objects(out)
    assert [row["table"] for row in rows] == (
        ["rates"] * 6 + ["spectrum tales"] * 10 + ["sweep tales"] * 10
    )
    table = pd.read_parquet(tmp_path / "analysis" / "rates.parquet")
    assert [row["value"] for row in rows[:6]] == pytest.approx(table["value"].tolist())
    tokens = pd.read_parquet(tmp_path / "analysis" / "aligned_tokens.parquet")
    assert len(tokens) == 10 * (len(DOCUMENTS) + len(QUERIES))
    page = (tmp_path / "analysis" / "index.html").read_text("utf-8")
    assert "local/tiny-llama, lm_head head" in page


def test_what_a_compressed_head_loses_is_told(analyze, tmp_path):
    status, out, err = analyze(
        *("head=compressed", "head@head.of=lm_head", "head.rank=4", "head.int8=true"),
        *("parts=[rates]", "format=json"),
    )
    assert status == 0, err
    documents, queries = [row for row in objects(out) if row["table"] == "compression"]
    assert [documents["side"], queries["side"]] == ["document", "query"]
    assert documents["matrix_error"] == queries["matrix_error"] > 0
    assert 0 < documents["kept"] < 1
    assert documents["bytes_after"] < documents["bytes_before"]
    assert "compression.parquet" in written(tmp_path)


def test_the_same_again_writes_the_same(analyze, tmp_path):
    first = analyze("format=json", "spectrum.examples=1", "parts=[rates,spectrum]")
    contents = {name: (tmp_path / "analysis" / name).read_bytes() for name in written(tmp_path)}
    assert analyze("format=json", "spectrum.examples=1", "parts=[rates,spectrum]") == first
    for name, content in contents.items():
        assert (tmp_path / "analysis" / name).read_bytes() == content


def test_tables_are_printed_and_the_folder_is_made(analyze, tmp_path):
    status, out, err = analyze("parts=[rates]", "analysis_dir=new/deeper")
    assert status == 0, err
    assert "tales" in out
    assert "gar" in out
    assert "{" not in out
    assert (tmp_path / "new" / "deeper" / "index.html").is_file()
    assert not (tmp_path / "analysis").exists()


def test_the_lines_of_a_file_instead_of_a_task(analyze, tmp_path):
    (tmp_path / "lines.txt").write_text("A cat sat.\n\nA dog ran.\n")
    status, out, err = analyze("texts=lines.txt", "format=json")
    assert status == 0, err
    rows = [row for row in objects(out) if row["table"] == "rates"]
    assert {(row["task"], row["side"], row["texts"]) for row in rows} == {
        ("lines.txt", "symmetric", 2)
    }
    assert {row["ndcg"] for row in objects(out) if row["table"].startswith("sweep")} == {None}


def test_the_embedder_beside_its_backbone(analyze, tiny_llama, tiny_embedder):
    status, out, err = analyze(
        *(f"spectrum.backbone={tiny_llama}", "parts=[spectrum]", "format=json"),
        model=tiny_embedder,
    )
    assert status == 0, err
    assert "tales: the backbone local/tiny-llama" in err.splitlines()
    rows = objects(out)
    v_1 = next(row["variation"] for row in rows if row["table"] == "spectrum tales")
    assert v_1 != 0
    assert {row["v_1"] for row in rows if row["table"] == "sweep tales"} == {v_1}


def test_a_task_that_ranks_nothing_is_left_out(analyze, tmp_path):
    write_typed(tmp_path / "pairs", FOLDERS["sts"])
    status, _, err = analyze("tasks.path=[pairs,tales]", "parts=[rates]")
    assert status == 0
    assert err.splitlines()[0] == "left out, for they search no corpus: pairs"
    status, _, err = analyze("tasks.path=[pairs]", "parts=[rates]", "analysis_dir=other")
    assert (status, err) == (
        2,
        "harness: pairs: no task searches a corpus; choose one of type Retrieval\n",
    )
    assert not (tmp_path / "other").exists()


# A study.


def test_a_study_writes_its_tables(analyze, tmp_path):
    status, out, err = analyze(*grid(), "format=json")
    assert status == 0, err
    assert err.splitlines() == ["tales: 2 settings", "written to analysis/index.html"]
    (kept,) = (tmp_path / "analysis" / "study").iterdir()
    expected = {"index.html", f"study/{kept.name}", *figure("study"), *figure("study-bytes")}
    expected |= {f"study-{name}.parquet" for name in ("modes", "transfer", "differences")}
    assert written(tmp_path) == expected
    tables = [row["table"] for row in objects(out)]
    assert tables == ["modes"] * 4 + ["transfer"] + ["differences"] * 5
    points = pd.read_parquet(tmp_path / "analysis" / "study.parquet")
    assert points["doc_top_k"].tolist() == [4, 16]


def test_a_study_reads_what_it_kept(analyze, tmp_path, monkeypatch):
    first = analyze(*grid(), "format=json")
    monkeypatch.setattr(study_run, "study_head", lambda *_: pytest.fail("scored again"))
    assert analyze(*grid(), "format=json") == first
    (kept,) = (tmp_path / "analysis" / "study").iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    status, out, err = analyze(*grid())
    assert (status, out) == (2, "")
    assert err == (
        f"harness: analysis/study/{kept.name}: a part of a study is unreadable; delete it, and it "
        "is scored again\n"
    )


def test_a_study_of_one_query(analyze, tmp_path):
    write_collection(tmp_path / "one", DOCUMENTS, QUERIES[:1])
    status, out, err = analyze(*grid(), "tasks.path=[one]")
    assert status == 0, err
    assert "Warning" not in err
    assert "transfer" in out


def test_a_study_beside_the_other_parts(analyze, tmp_path):
    status, out, err = analyze(*grid(), "parts=[rates,study]", "format=json")
    assert status == 0, err
    assert {row["table"] for row in objects(out)} == {"rates", "modes", "transfer", "differences"}
    assert "rates.parquet" in written(tmp_path)


def test_the_grid_that_is_shipped_is_whole(command):
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import AlignedSparseConfig, AnalyzeConfig, parse

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("analyze", overrides=["experiment=aligned_study"])
    config = parse(AnalyzeConfig, composed, where="")
    assert config.parts == ["study"]
    assert config.head.kind == "ridge"
    grid, default = config.study, AlignedSparseConfig()
    assert next(iter(grid.heads.values())) == config.head
    assert grid.transforms["none"].kind == "none"
    weights = [(one.doc_weight, one.doc_norm, one.literal_share) for one in grid.documents]
    assert (default.doc_weight, default.doc_norm, default.literal_share) in weights
    assert default.doc_top_k in grid.doc_top_k
    assert default.query_expansion in grid.query_expansion
    assert default.query_weight in grid.query_weight


# What is refused.


REFUSED = {
    "no part": (["parts=[]"], "parts is empty; choose of: rates, tokens, spectrum, study, stages"),
    "an unknown part": (
        ["parts=[rates,other]"],
        "parts='other' is unknown; choose one of: rates, tokens, spectrum, study, stages",
    ),
    "a study without a grid": (
        ["parts=[study]"],
        "parts has study, which has no grid; add experiment=aligned_study",
    ),
    "a study of texts": (
        [*grid(), "texts=lines.txt"],
        "a study needs queries and judgements, which texts= has not; give tasks",
    ),
    "a study without dense": (
        [*grid(), "parts=[rates,study]", "retrieval=[bm25,aligned_sparse]"],
        "a study compares with dense retrieval; add dense to retrieval=[...]",
    ),
    "a fusion of a mode that is not there": (
        [*grid(), "retrieval=[dense,hybrid]"],
        "retrieval.hybrid.modes names 'bm25', which this run does not have; add it to "
        "retrieval=[...] or set retrieval.hybrid.modes",
    ),
    "a fusion of itself": (
        [*grid(), "retrieval.hybrid.modes=[dense,hybrid]"],
        "retrieval.hybrid.modes names 'hybrid', which this run does not have; add it to "
        "retrieval=[...] or set retrieval.hybrid.modes",
    ),
    "a weight that is not finite": (
        ["spectrum.weights=[1,nan]"],
        "spectrum.weights=[1.0, nan] must be finite numbers",
    ),
    "an infinite weight": (
        ["spectrum.weights=[-inf]"],
        "spectrum.weights=[-inf] must be finite numbers",
    ),
    "a weight that is no number": (
        ["spectrum.weights=[much]"],
        "spectrum.weights[0]: Value 'much' of type 'str' could not be converted to Float",
    ),
    "no components": (["spectrum.components=0"], "spectrum.components=0 must be at least 1"),
    "fewer examples than none": (
        ["spectrum.examples=-1"],
        "spectrum.examples=-1 must be at least 0",
    ),
    "another attention": (
        ["spectrum.attention=both"],
        "spectrum.attention='both' is unknown; choose one of: causal, bidirectional",
    ),
    "an unknown retrieval": (["retrieval=[dense,guess]"], "In 'analyze': Could not load"),
    "settings of no mode": (
        ["+retrieval.extra.depth=3"],
        "retrieval.extra has settings but is no mode of this run",
    ),
    "no texts": (["max_texts=0"], "max_texts=0 must be at least 1"),
    "no K": (["hit_k=0"], "hit_k=0 must be at least 1"),
    "no tokens": (["top_k=0"], "top_k=0 must be at least 1"),
    "a negative seed": (["seed=-1"], "seed=-1 must be at least 0"),
    "another format": (["format=xml"], "format='xml' is unknown; choose one of: table, json"),
    "no folder": (["analysis_dir=' '"], "analysis_dir is empty; give a folder"),
    "no file": (
        ["texts=missing.txt"],
        "texts=missing.txt: cannot be read as UTF-8 text; give a file with one text a line",
    ),
    "a head without a matrix": (
        ["head=whole_word", "parts=[rates,spectrum]"],
        "the spectrum is read through a head's matrix, which this head has not; choose "
        "head=lm_head, tied, mlm or ridge, or leave spectrum out of parts",
    ),
    "no backbone": (["spectrum.backbone=nowhere"], "model.path=nowhere holds no config.json; give"),
    "no K in the grid": (grid(doc_top_k=[]), "study.doc_top_k is empty; give one or more values"),
    "no M in the grid": (grid(query_expansion=[]), "study.query_expansion is empty; give one or"),
    "no weights in the grid": (grid(query_weight=[]), "study.query_weight is empty; give one or"),
    "no documents in the grid": (grid(documents=[]), "study.documents is empty; give one or more"),
    "no heads in the grid": (grid(heads={}), "study.heads is empty; give name: {kind: ...}"),
    "no transforms in the grid": (
        grid(transforms={}),
        "study.transforms is empty; give none: {kind: none}",
    ),
    "a K of 0": (grid(doc_top_k=[8, 0]), "study.doc_top_k=0 must be at least 1"),
    "an M below 0": (grid(query_expansion=[-1]), "study.query_expansion=-1 must be at least 0"),
    "another query weight": (
        grid(query_weight=["tf"]),
        "study.query_weight='tf' is unknown; choose one of: binary, idf, score",
    ),
    "another setting of documents": (
        grid(documents=[{"doc_top_k": 3}]),
        "study.documents: {'doc_top_k': 3} must be of doc_weight, doc_norm and literal_share",
    ),
    "documents that are no mapping": (
        grid(documents=["raw"]),
        "study.documents: raw must be of doc_weight, doc_norm and literal_share",
    ),
    "an unknown document weight": (
        grid(documents=[{"doc_weight": "tf"}]),
        "study.documents.doc_weight='tf' is unknown; choose one of: raw, relu, log1p, binary",
    ),
    "an unknown head in the grid": (
        grid(heads={"x": {"kind": "guess"}}),
        "study.heads.x.kind='guess' is unknown; choose one of: ",
    ),
    "a head without a kind": (
        grid(heads={"x": "ridge"}),
        "study.heads.x.kind=None is unknown; choose one of: ",
    ),
    "a bad setting of a transform": (
        grid(transforms={"x": {"kind": "pc1"}}),
        "study.transforms.x.weight is not set: give transform.weight=λ, or transform.reference",
    ),
    "a negative budget": (grid(most_flops=-1), "study.most_flops=-1.0 must be at least 0"),
    "an unknown setting": (["+other=1"], "other"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(analyze, tmp_path, case):
    overrides, message = REFUSED[case]
    (tmp_path / "lines.txt").write_text("A cat.\n")
    status, out, err = analyze(*overrides)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"harness: {message}"), line
    assert not (tmp_path / "analysis").exists()


def test_a_backbone_of_another_width_is_refused(analyze, tmp_path, stories):
    status, out, err = analyze(f"spectrum.backbone={stories}", "parts=[spectrum]")
    assert (status, out) == (2, "")
    assert "spectrum.backbone: its embeddings are 64 wide and the model's 16" in err
    assert not (tmp_path / "analysis").exists()


# Names from outside.


def test_hostile_names_are_harmless(command, tmp_path, tiny_llama):
    hostile = "<script>alert(1)</script>"
    documents = [
        (f"{hostile}\n/../x", "", f"A cat {hostile} sat."),
        ("..", "", "A dog ran to the park.\nIt was sad."),
        ("a/b", hostile, "One day."),
    ]
    queries = [("q\n<b>", f"the dog {hostile}", {})]
    folder = write_collection(tmp_path / "data" / "a b<i>&c", documents, queries)
    judgement = f'"q\n<b>"\t"{documents[0][0]}"\t1\n'
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judgement}")
    model = moved_model(tiny_llama, tmp_path / "data" / "m<u>&o", scale=0)
    before = {path for path in tmp_path.rglob("*") if "analysis" not in path.parts}
    status, out, err = command(
        *("analyze", "model=local", f"model.path='{model}'", "head=lm_head", "tasks=folder"),
        *(f"tasks.path=['{folder}']", "backend.device=cpu", "store_dir=store", "format=json"),
        *("parts=[rates,tokens,spectrum]", "spectrum.examples=3"),
    )
    assert status == 0, err
    rows = objects(out)
    assert {row["task"] for row in rows if row["table"] == "rates"} == {"a b<i>&c"}
    page = (tmp_path / "analysis" / "index.html").read_text("utf-8")
    assert "<script" not in page
    assert "<i>&c" not in page
    assert "m&lt;u&gt;&amp;o" in page
    tokens = pd.read_parquet(tmp_path / "analysis" / "aligned_tokens.parquet")
    assert set(tokens["id"]) == {*(name for name, _, _ in documents), "q\n<b>"}
    names = written(tmp_path)
    assert len(names) == 2 + 3 * 4 + 2 * 3 * 4
    assert all(name.isascii() and not set(name) & set("<>\n &") for name in names)
    after = {path for path in tmp_path.rglob("*") if "analysis" not in path.parts}
    assert {path.relative_to(tmp_path).parts[0] for path in after - before} <= {"store"}


# `harness run` with a transform that is estimated from another model.


def test_a_run_with_an_estimated_first_component(command, tmp_path, tiny_llama, tiny_embedder):
    write_collection(tmp_path / "tales")
    other = moved_model(tiny_llama, tmp_path / "other", seed=5, scale=0.3)

    def run(*overrides):
        status, out, err = command(
            *("run", "model=local", f"model.path={tiny_llama}", "head=lm_head", "tasks=folder"),
            *("tasks.path=[tales]", "backend.device=cpu", "cost=off", "format=json"),
            *("retrieval=[aligned_sparse]", *overrides),
        )
        assert status == 0, err
        (row,) = objects(out)
        folders = {
            path.parent.name for path in tmp_path.glob("results/*/*/experiments/*/tales.json")
        }
        return row["value"], folders

    _, plain = run()
    first, folders = run("transform=pc1", f"transform.reference={tiny_embedder}")
    assert len(folders) == 2
    second, more = run("transform=pc1", f"transform.reference={other}")
    assert len(more) == 3
    assert folders < more
    assert plain < folders
    again, same = run("transform=pc1", f"transform.reference={tiny_embedder}")
    assert (again, same) == (first, more)
    assert 0 <= second <= 1


def test_a_reference_that_is_no_model_is_refused(command, tmp_path, tiny_llama):
    write_collection(tmp_path / "tales")
    status, out, err = command(
        *("run", "model=local", f"model.path={tiny_llama}", "head=lm_head", "tasks=folder"),
        *("tasks.path=[tales]", "backend.device=cpu", "cost=off", "transform=pc1"),
        "transform.reference=nowhere",
    )
    assert (status, out) == (2, "")
    assert "nowhere holds no config.json" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_program_of_its_own(tmp_path, tiny_llama):
    """Standard output holds JSON alone, whatever libraries say."""
    write_collection(tmp_path / "tales")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "harness", "analyze", "model=local"),
            *(f"model.path={tiny_llama}", "head=lm_head", "tasks=folder", "tasks.path=[tales]"),
            *("backend.device=cpu", "format=json", "parts=[rates,spectrum]", "spectrum.examples=1"),
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert len(objects(done.stdout)) == 6 + 10 + 10
    assert done.stderr.splitlines() == [
        "tales: aligned tokens of 14 texts, 5 texts",
        "written to analysis/index.html",
    ]
