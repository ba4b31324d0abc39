"""Steps and chains of them: what is kept, what is refused, and that each begins where one ended."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from transformers import AutoTokenizer

from harness.config import ModelConfig, TrainConfig, parse, parse_component
from harness.training.stages import perform
from tests.training.small import SHAPE, sentences, step, write_model, write_pairs, write_texts

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {"max_length": 16, "batch_tokens": 128, "epochs": 0.3, "held_out": 0.2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_texts(folder / "text.jsonl", sentences(40))
    write_pairs(folder / "pairs.jsonl", sentences(40))
    return folder


@pytest.fixture(scope="module")
def untied(tmp_path_factory):
    """A model whose head is its own."""
    return write_model(tmp_path_factory.mktemp("untied") / "model", tied=False)


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def content(folder):
    files = [file for file in Path(folder).rglob("*") if file.is_file()]
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def chain(data, **changes):
    plain = {"dtype": "float32", **QUICK}
    stages = {
        "causal": {"kind": "pretrain", "text": f"{data}/text.jsonl", **SHAPE, **plain},
        "mntp": {"kind": "mntp", "text": f"{data}/text.jsonl", **plain},
        "paired": {
            **{"kind": "contrastive", "pairs": f"{data}/pairs.jsonl", **plain},
            **{"batch_tokens": 8192, "batch_size": 4, "lora_rank": 2, "checkpoint_seconds": 0},
        },
    } | changes
    return parse_component("train", {"kind": "stages", "stages": stages}, where="train")


@pytest.fixture(scope="module")
def chained(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("chained")
    return output, perform(chain(data), None, output, "cpu")


def test_each_stage_starts_from_the_one_before(chained, data):
    output, records = chained
    assert [record["name"] for record in records] == ["causal", "mntp", "paired"]
    starts = [record["identity"]["start"] for record in records]
    assert starts[0] is None
    assert len(set(starts)) == 3
    alone = [
        perform(
            chain(data).stages[name],
            ModelConfig(path=str(output / start)),
            output / f"{name} alone",
            "cpu",
        )[0]
        for name, start in (("mntp", "causal"), ("paired", "mntp"))
    ]
    for name, record in zip(("mntp", "paired"), alone, strict=True):
        assert record["identity"] == records[("causal", "mntp", "paired").index(name)]["identity"]
        for tensor, value in weights(output / name).items():
            assert torch.equal(value, weights(output / f"{name} alone")[tensor])


def test_records(chained):
    output, records = chained
    causal, _, paired = records
    matrices = 300 * 16 + 2 * (4 * 16 * 16 + 3 * 16 * 24 + 2 * 16) + 16
    assert causal["parameters"] == causal["trained_parameters"] == matrices
    assert paired["trained_parameters"] == 2 * 2 * (4 * 32 + 3 * 40)
    assert paired["parameters"] == matrices + paired["trained_parameters"]
    for record in records:
        assert json.loads((output / record["name"] / "training.json").read_text()) == record
        assert record["steps"] >= 1
        assert record["tokens"] > 0
        assert (record["dtype"], record["processes"]) == ("float32", 1)
        assert record["loss"] > 0
        assert record["validation"] > 0
        assert set(record["identity"]["data"]) == {"pairs" if record is paired else "text"}
        log = (output / record["name"] / "log.jsonl").read_text().splitlines()
        assert json.loads(log[-1])["step"] == record["steps"]
    assert not list(output.rglob(".checkpoint"))
    assert (output / "paired" / "adapter" / "adapter_model.safetensors").is_file()


def test_what_is_done_is_kept(chained, data, monkeypatch, capsys):
    output, records = chained
    before = content(output)
    monkeypatch.setattr("harness.training.step.train", None)
    assert perform(chain(data), None, output, "cpu") == json.loads(json.dumps(records))
    assert content(output) == before
    assert capsys.readouterr().err.count("kept") == 3


def test_what_changes_no_weight_changes_nothing(chained, data, monkeypatch):
    output, records = chained
    monkeypatch.setattr("harness.training.step.train", None)
    config = chain(data).stages["mntp"]
    config.validate_every, config.checkpoint_seconds = 7, 1.0
    start = ModelConfig(path=str(output / "causal"))
    assert perform(config, start, output / "mntp", "cpu") == [records[1]]


def test_other_settings_data_or_start_in_the_same_output_are_refused(
    chained, data, tmp_path, refusal
):
    output, _ = chained
    config = chain(data).stages["mntp"]
    start = ModelConfig(path=str(output / "causal"))
    config.seed = 1
    refused = [refusal(lambda: perform(config, start, output / "mntp", "cpu"))]
    config.seed = 0
    other = write_texts(tmp_path / "text.jsonl", sentences(41))
    config.text = str(other)
    refused.append(refusal(lambda: perform(config, start, output / "mntp", "cpu")))
    config.text = str(data / "text.jsonl")
    start = ModelConfig(path=str(output / "mntp"))
    refused.append(refusal(lambda: perform(config, start, output / "mntp", "cpu")))
    for message in refused:
        assert f"{output / 'mntp'} holds a model that was trained with other settings" in message
        assert "choose another output, or remove it" in message


def test_a_stage_is_left_out_by_null(data, tmp_path):
    output = tmp_path / "out"
    records = perform(chain(data, mntp=None, paired={}), None, output, "cpu")
    assert [record["name"] for record in records] == ["causal"]
    assert [file.name for file in output.iterdir()] == ["causal"]


@pytest.mark.parametrize("name", ["../up", "a/b", "..", ".", "a b", "", "a\\b"])
def test_a_stage_whose_name_is_a_path_is_refused(data, refusal, name):
    message = refusal(lambda: chain(data, **{name: chain_step(data)}))
    assert "use letters, digits, - and _" in message


def chain_step(data):
    return {"kind": "mntp", "text": f"{data}/text.jsonl"}


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({}, "train.stages is empty"),
        ({"a": None}, "train.stages is empty"),
        ({"a": {"kind": "stages", "stages": {"b": {"kind": "mntp", "text": "x"}}}}, "stages.a"),
        ({"a": {"kind": "nonsense"}}, "train.stages.a.kind='nonsense' is unknown"),
        ({"a": {"kind": "mntp"}}, "train.stages.a.text"),
        ({"a": {"kind": "mntp", "text": "x", "epochs": 0}}, "train.stages.a.epochs"),
        ({"a": {"kind": "mntp", "text": "x"}}, "model: this step starts from a decoder"),
        (
            {"a": {"kind": "mntp", "text": "x"}, "b": {"kind": "pretrain", "text": "x"}},
            "stages.b: a new model starts from no other; make it the first stage",
        ),
    ],
)
def test_stages_that_are_refused(refusal, stages, says):
    given = {"train": {"kind": "stages", "stages": stages}, "output": "out"}
    if says.startswith("train.stages.a.text"):
        given["model"] = {"kind": "huggingface", "path": "x"}
    assert says in refusal(lambda: parse(TrainConfig, given, where=""))


def test_a_new_model_that_is_given_a_start_is_refused(refusal):
    given = {"train": {"kind": "pretrain", "text": "x"}, "output": "out"}
    given["model"] = {"kind": "huggingface", "path": "x"}
    assert "starts from no other" in refusal(lambda: parse(TrainConfig, given, where=""))


def test_what_another_process_has_trained_meanwhile_is_kept(chained, data, monkeypatch, capsys):
    output, records = chained
    before = content(output / "causal")
    answers = iter([None])  # at first it is not there
    monkeypatch.setattr("harness.training.step.finished", lambda *given: next(answers, records[0]))
    monkeypatch.setattr("harness.training.step.train", None)
    assert perform(chain(data).stages["causal"], None, output / "causal", "cpu") == [records[0]]
    assert content(output / "causal") == before
    assert capsys.readouterr().err.count("kept") == 1


def test_too_little_for_a_step(data, tmp_path, refusal):
    config = step("pretrain", text=str(data / "text.jsonl"), max_length=512, **SHAPE)
    config.text = str(write_texts(tmp_path / "one.jsonl", ["cat"]))
    message = refusal(lambda: perform(config, None, tmp_path / "out", "cpu"))
    assert "too few for one batch" in message
    assert not (tmp_path / "out").exists()


def test_texts_longer_than_the_model_has_positions(data, untied, tmp_path, refusal):
    config = step("mntp", text=str(data / "text.jsonl"), max_length=65)
    start = ModelConfig(path=str(untied))
    message = refusal(lambda: perform(config, start, tmp_path / "out", "cpu"))
    assert "max_length=65 is above the 64 positions" in message
    pairs = {"pairs": str(data / "pairs.jsonl"), "max_length": 16, "query_max_length": 65}
    config = step("contrastive", **pairs)
    message = refusal(lambda: perform(config, start, tmp_path / "out", "cpu"))
    assert "query_max_length=65 is above the 64 positions" in message
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_with_tokens_that_the_model_lacks(data, untied, tmp_path, refusal):
    larger = shutil.copytree(untied, tmp_path / "larger")
    tokenizer = AutoTokenizer.from_pretrained(larger)
    count = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<pad-added>"})
    tokenizer.save_pretrained(larger)
    config = step("mntp", text=str(data / "text.jsonl"), max_length=16)
    start = ModelConfig(path=str(larger))
    message = refusal(lambda: perform(config, start, tmp_path / "out", "cpu"))
    assert f"{larger} uses a token of id {count}, but the model in {larger}" in message
    assert f"has embeddings of {count} tokens only" in message
    assert not (tmp_path / "out").exists()


def test_a_token_for_pictures_beyond_the_embeddings_does_no_harm(data, untied, tmp_path):
    larger = shutil.copytree(untied, tmp_path / "larger")
    tokenizer = AutoTokenizer.from_pretrained(larger)
    tokenizer.add_tokens(["<picture>"], special_tokens=True)
    tokenizer.save_pretrained(larger)
    settings = {"max_length": 16, "random_share": 0.9, "hidden_share": 0.1}
    config = step("mntp", text=str(data / "text.jsonl"), **settings)
    (record,) = perform(config, ModelConfig(path=str(larger)), tmp_path / "out", "cpu")
    assert record["steps"] > 0


def test_parts_that_change_the_draws_of_dropout_make_another_product(
    data, untied, tmp_path, refusal
):
    settings = {"text": str(data / "text.jsonl"), "max_length": 16, "batch_size": 8}
    start = ModelConfig(path=str(untied))

    def trained(chunk_tokens):
        config = step("simcse", **settings, chunk_tokens=chunk_tokens)
        return perform(config, start, tmp_path / "out", "cpu")

    made = trained(32_768)
    assert trained(8192) == json.loads(json.dumps(made))  # kept
    assert "trained with other settings" in refusal(lambda: trained(64))


def test_the_model_that_a_step_starts_from_is_not_its_output(data, untied, refusal):
    before = content(untied)
    config = step("mntp", text=str(data / "text.jsonl"), max_length=16)
    message = refusal(lambda: perform(config, ModelConfig(path=str(untied)), untied, "cpu"))
    assert "is the model that this starts from; name another one" in message
    assert content(untied) == before


def test_a_folder_that_is_being_trained(data, tmp_path, refusal):
    config = chain(data).stages["causal"]
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        message = refusal(lambda: perform(config, None, tmp_path / "out", "cpu"))
    assert "another process" in message
    assert "choose another output" in message


def test_a_head_that_no_loss_reads_stays_as_it_is(data, untied, tmp_path):
    """It has no moments: a checkpoint does without them."""
    settings = {"batch_size": 4, "max_length": 16, "epochs": 0.3, "checkpoint_seconds": 0}
    config = step("contrastive", pairs=f"{data}/pairs.jsonl", learning_rate=0.01, **settings)
    perform(config, ModelConfig(path=str(untied)), tmp_path / "out", "cpu")
    before, after = weights(untied), weights(tmp_path / "out")
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert same == ["lm_head.weight"]


def test_a_head_without_its_mean_row_and_matrices_by_muon(data, tmp_path):
    settings = {"text": f"{data}/text.jsonl", "optimiser": "muon", "center_head": True, **QUICK}
    pretrained = step("pretrain", **settings, **SHAPE)
    perform(pretrained, None, tmp_path / "base", "cpu")
    perform(
        step("pretrain", **settings | {"optimiser": "adamw"}, **SHAPE),
        None,
        tmp_path / "adamw",
        "cpu",
    )
    by_muon, by_adamw = weights(tmp_path / "base"), weights(tmp_path / "adamw")
    matrices = [name for name in by_muon if name.endswith("_proj.weight")]
    assert len(matrices) == 14
    assert not any(torch.equal(by_muon[name], by_adamw[name]) for name in matrices)
    head = by_muon["model.embed_tokens.weight"]
    assert head.mean(dim=0).abs().max() < 1e-6 < 1e-3 < head.abs().max()
    fixed = step("mntp", **settings, train_embeddings=False)
    perform(fixed, ModelConfig(path=str(tmp_path / "base")), tmp_path / "out", "cpu")
    before, after = weights(tmp_path / "base"), weights(tmp_path / "out")
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert same == ["model.embed_tokens.weight"]
