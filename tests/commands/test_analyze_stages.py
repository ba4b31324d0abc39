"""`harness analyze parts=[stages]` as a user runs it: what it writes, prints and refuses."""

import json
import sys

import pandas as pd
import pytest

from harness.cli import _main
from tests.analysis.conftest import moved_model, write_collection
from tests.commands.test_analyze import figure, objects, written

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ("stages.folders=[causal,mntp]", "stages.poolings=[eos,mean]")


@pytest.fixture(scope="session")
def trained(tiny_llama, tmp_path_factory):
    """Two stages of the random Llama."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "causal").symlink_to(tiny_llama, target_is_directory=True)
    moved_model(tiny_llama, folder / "mntp")
    return folder


@pytest.fixture
def analyze(tmp_path, capfd, monkeypatch, trained):
    """`harness analyze` of the stages in a folder of its own: status, output and error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)
    write_collection(tmp_path / "tales")

    def run(*overrides, experiment=("experiment=pydoc_llama_stages",), path=trained):
        capfd.readouterr()
        status = _main(
            [
                *("analyze", *experiment, f"stages.path={path}", "backend.device=cpu"),
                *("tasks=folder", "tasks.path=[tales]", "store_dir=store", *overrides),
            ]
        )
        return status, *capfd.readouterr()

    return run


def test_one_command_makes_tables_figures_and_a_page(analyze, tmp_path):
    status, out, err = analyze(*SMALL, "format=json")
    assert status == 0, err
    assert err.splitlines() == [
        *(
            f"tales: {stage}, {attention} attention, {pooling} pooling"
            for stage in ("causal", "mntp")
            for attention in ("causal", "bidirectional")
            for pooling in ("eos", "mean")
        ),
        "written to analysis/index.html",
    ]
    expected = {"index.html", "stages.parquet"}
    for name in ("dense", "modes", "rates", "variation", "tokens-1", "tokens-2"):
        expected |= figure(f"stages-{name}")
    assert written(tmp_path) == expected
    rows = objects(out)
    tables = pd.Series([row["table"] for row in rows]).value_counts(sort=False).to_dict()
    assert tables == {
        "stages": 2,
        "stages dense": 8,
        "stages modes": 14,
        "stages rates": 12,
        "stages variation": 2,
    }
    assert [row["attention"] for row in rows if row["table"] == "stages"] == [
        "causal",
        "bidirectional",
    ]
    page = (tmp_path / "analysis" / "index.html").read_text("utf-8")
    assert "causal → mntp, lm_head head" in page


def test_the_same_again_writes_and_prints_the_same(analyze, tmp_path):
    first = analyze(*SMALL, "stages.examples=1")
    contents = {name: (tmp_path / "analysis" / name).read_bytes() for name in written(tmp_path)}
    assert analyze(*SMALL, "stages.examples=1") == first
    assert {
        name: (tmp_path / "analysis" / name).read_bytes() for name in written(tmp_path)
    } == contents
    assert "{" not in first[1]
    assert "sparse_m16" in first[1]


def test_without_the_experiment_and_beside_another_part(analyze, tmp_path, trained):
    status, out, err = analyze(
        *(*SMALL, "parts=[rates,stages]", "model=local", f"model.path={trained / 'causal'}"),
        *("pooling=mean", "format=json", "stages.poolings=[mean]"),
        experiment=(),
    )
    assert status == 0, err
    rows = objects(out)
    plain = {(row["side"], row["metric"]): row["value"] for row in rows if row["table"] == "rates"}
    first = {
        (row["side"], row["metric"]): row["value"]
        for row in rows
        if row["table"] == "stages rates" and row["stage"] == "causal"
    }
    assert first == pytest.approx(plain)
    assert figure("rates") | figure("stages-rates") <= written(tmp_path)


def test_the_experiment_that_is_shipped_is_whole():
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import AnalyzeConfig, StagesConfig, parse

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("analyze", overrides=["experiment=pydoc_llama_stages"])
    config = parse(AnalyzeConfig, composed, where="")
    assert config.parts == ["stages"]
    assert config.stages.head.kind == "lm_head"
    assert config.stages == StagesConfig(
        path=".harness/train/pydoc_llama", query_expansion=[0, 16, 32]
    )
    assert StagesConfig().query_expansion == [0, 16]
    stages = config.stages
    assert [(stage, stages.own_attention(stage)) for stage in stages.folders] == [
        ("causal", "causal"),
        ("mntp", "bidirectional"),
        ("simcse", "bidirectional"),
        ("supervised", "bidirectional"),
    ]
    assert str(stages.folder("mntp")) == ".harness/train/pydoc_llama/mntp"
    assert list(stages.poolings) == ["eos", "mean", "weighted_mean"]


@pytest.mark.parametrize("given", ["{a:causal,b:/x/y}", "[causal,/x/y]", "causal"])
def test_folders_are_a_list_or_have_names(given):
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import AnalyzeConfig, parse

    overrides = ["experiment=pydoc_llama_stages", f"stages.folders={given}"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("analyze", overrides=[*overrides, "stages.path=/p"])
    stages = parse(AnalyzeConfig, composed, where="").stages
    folders = {name: str(stages.folder(name)) for name in stages.folders}
    assert (
        folders
        == {
            "{a:causal,b:/x/y}": {"a": "/p/causal", "b": "/x/y"},
            "[causal,/x/y]": {"causal": "/p/causal", "y": "/x/y"},
            "causal": {"causal": "/p/causal"},
        }[given]
    )


REFUSED = {
    "no path": (
        ["stages.path=null"],
        "parts has stages, which has no folder; set stages.path=FOLDER or add "
        "experiment=pydoc_llama_stages",
    ),
    "texts": (
        ["texts=lines.txt"],
        "stages need queries and judgements, which texts= has not; give tasks",
    ),
    "no stage": (
        ["stages.folders=[]"],
        "stages.folders is empty; name the stages, such as [causal,mntp]",
    ),
    "a stage that is no folder": (
        ["stages.folders=[3]"],
        "stages.folders: 3 is no folder; write a list of folders, or {name: folder}",
    ),
    "two of one name": (
        ["stages.folders=[a/x,b/x]"],
        "stages.folders has 'x' twice; give each a name of its own, as name: folder",
    ),
    "no pooling": (
        ["stages.poolings=[]"],
        "stages.poolings is empty; give kinds of pooling, such as [eos,mean]",
    ),
    "an unknown pooling": (
        ["stages.poolings=[mean,guess]"],
        "stages.poolings.kind='guess' is unknown; choose one of: ",
    ),
    "a pooling with settings": (
        ["stages.poolings=[{kind:mean}]"],
        "stages.poolings=[{'kind': 'mean'}] must be kinds of pooling, such as [eos,mean]",
    ),
    "a pooling twice": (
        ["stages.poolings=[mean,mean]"],
        "stages.poolings=['mean', 'mean'] names a kind twice",
    ),
    "a pooling of another prompt": (
        ["stages.poolings=[mean,echo]"],
        "stages.poolings: 'echo' reads another prompt or the logits; choose eos, last_token",
    ),
    "a pooling of logits": (
        ["stages.poolings=[mean,splade]"],
        "stages.poolings: 'splade' reads another prompt or the logits; choose eos, last_token",
    ),
    "a pooling that the model says": (
        ["stages.poolings=[mean,auto]"],
        "stages.poolings: 'auto' reads another prompt or the logits; choose eos, last_token",
    ),
    "an own pooling that is not tried": (
        ["stages.pooling=max"],
        "stages.pooling='max' is unknown; choose one of: eos, mean",
    ),
    "an unknown attention": (
        ["stages.attentions=[causal,both]"],
        "stages.attentions='both' is unknown; choose one of: causal, bidirectional",
    ),
    "an own attention that is not tried": (
        ["stages.attentions=[causal]"],
        "stages.attentions=['causal'] lacks 'bidirectional', the own attention of mntp; add it, "
        "or set stages.attention={mntp: ...}",
    ),
    "the attention of no stage": (
        ["stages.attention={other:causal}"],
        "stages.attention='other' is unknown; choose one of: causal, mntp",
    ),
    "an unknown head": (
        ["stages.head={kind:guess}"],
        "stages.head.kind='guess' is unknown; choose one of: ",
    ),
    "no M": (
        ["stages.query_expansion=[]"],
        "stages.query_expansion is empty; give one or more values",
    ),
    "an M twice": (
        ["stages.query_expansion=[1,1]"],
        "stages.query_expansion=[1, 1] names a value twice",
    ),
    "an M below 0": (
        ["stages.query_expansion=[-1]"],
        "stages.query_expansion=-1 must be at least 0",
    ),
    "a negative threshold": (["stages.threshold=-1"], "stages.threshold=-1.0 must be at least 0"),
    "too short a length": (["stages.max_length=3"], "stages.max_length=3 must be at least 8"),
    "fewer examples than none": (["stages.examples=-1"], "stages.examples=-1 must be at least 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_and_nothing_is_written(analyze, tmp_path, case):
    overrides, message = REFUSED[case]
    status, out, err = analyze(*SMALL, *overrides)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"harness: {message}"), line
    assert not (tmp_path / "analysis").exists()


def test_a_stage_that_is_not_there_is_refused_before_any_work(analyze, tmp_path, trained):
    status, out, err = analyze("parts=[rates,stages]")
    assert (status, out) == (2, "")
    assert err == (
        f"harness: stages: {trained / 'simcse'} holds no model (no config.json) for the stage "
        "simcse; train it, or name the stages that are there: stages.folders=[...]\n"
    )
    assert not (tmp_path / "analysis").exists()
    assert not (tmp_path / "store").exists()


def test_a_stage_without_a_head_is_refused(analyze, tmp_path, trained):
    from safetensors.numpy import load_file, save_file

    moved_model(trained / "causal", tmp_path / "models" / "causal")
    headless = moved_model(trained / "causal", tmp_path / "models" / "mntp")
    tensors = load_file(headless / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, headless / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((headless / "config.json").read_text())
    (headless / "config.json").write_text(json.dumps(settings | {"architectures": ["LlamaModel"]}))
    status, out, err = analyze(*SMALL, path=tmp_path / "models")
    assert (status, out) == (2, "")
    assert err.startswith("harness: head=lm_head: ")
    assert "holds no LM head" in err
    assert len(err.splitlines()) == 1
