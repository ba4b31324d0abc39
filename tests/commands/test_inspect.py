"""`harness inspect` as a user runs it, and its numbers against a plain loop."""

import json
import os
import subprocess
import sys

import pytest
import torch
import transformers
from hydra import compose, initialize_config_dir
from hypothesis import example, given
from hypothesis import strategies as st

from harness.cli import _main, _quoted, config_folder

TEXT = "Once upon a time, there was a dog."


@pytest.fixture
def inspect(tmp_path, capfd, monkeypatch):
    """Run `harness inspect` in this process: status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        status = _main(["inspect", *(str(argument) for argument in arguments)])
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def records(inspect, stories):
    """The JSON records of a text under stories260K."""

    def run(*arguments):
        status, out, err = inspect(
            "model=local", f"model.path={stories}", "format=json", *arguments
        )
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return run


def test_prompt_tokens_and_aligned_tokens_equal_a_plain_computation(records, stories):
    (record,) = records(f"text={TEXT}")
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    network = transformers.AutoModelForCausalLM.from_pretrained(stories, dtype=torch.float32)
    ids = tokenizer(TEXT)["input_ids"]
    with torch.inference_mode():
        states = network.eval().model(torch.tensor([ids])).last_hidden_state[0]
        logits = (states.mean(dim=0) @ network.lm_head.weight.T).clone()
        logits[torch.tensor(tokenizer.all_special_ids)] = -torch.inf
        values, best = torch.topk(logits, 10)
    assert record["prompt"] == TEXT
    assert [token["id"] for token in record["tokens"]] == ids
    assert all(token["pooled"] for token in record["tokens"])
    assert [token["id"] for token in record["aligned"]] == best.tolist()
    weights = [token["weight"] for token in record["aligned"]]
    assert weights == pytest.approx(values.tolist(), abs=1e-4)
    literal = set(tokenizer(TEXT, add_special_tokens=False)["input_ids"])
    assert [t["literal"] for t in record["aligned"]] == [i in literal for i in best.tolist()]


def test_tokens_read_as_a_person_writes_them(records):
    (record,) = records("text=the dog", "top_k=3")
    assert [token["token"] for token in record["tokens"]] == ["<s>", "␣the", "␣do", "g"]
    assert len(record["aligned"]) == 3


def test_templates_side_by_side_and_what_is_pooled(records):
    found = records(
        f"text={TEXT}", "templates=[none,e5]", "pooling=mean", "pooling.include_instruction=false"
    )
    assert [record["template"] for record in found] == ["none", "e5"]
    assert [record["prompt"] for record in found] == [TEXT, "query: " + TEXT]
    pooled = ["".join(t["token"] for t in r["tokens"] if t["pooled"]) for r in found]
    assert pooled == [
        "<s>␣Once␣upon␣a␣time,␣there␣was␣a␣dog.",
        "␣Once␣upon␣a␣time,␣there␣was␣a␣dog.",
    ]


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [
        ("mean", "<s>␣the␣dog"),
        ("weighted_mean", "<s>␣the␣dog"),
        ("max", "<s>␣the␣dog"),
        ("cls", "<s>"),
        ("bos", "<s>"),
        ("last_token", "g"),
        ("eos", "</s>"),
        ("echo", "␣the␣dog"),
    ],
)
def test_what_each_pooling_takes(records, pooling, pooled):
    (record,) = records("text=the dog", f"pooling={pooling}")
    assert "".join(token["token"] for token in record["tokens"] if token["pooled"]) == pooled


def test_the_folders_own_prompts_beside_others(records):
    found = records("text=the dog", "templates=[auto,e5]")
    assert [record["prompt"] for record in found] == ["the dog", "query: the dog"]


def test_instructions_side_by_side(records):
    topics = ["Find the topic", "Find the mood"]
    found = records(f"text={TEXT}", "instruction=gritlm", f"instructions={topics}")
    assert [record["instruction"] for record in found] == topics
    assert [record["prompt"] for record in found] == [
        f"<|user|>\n{topic}\n<|embed|>\n{TEXT}" for topic in topics
    ]
    assert found[0]["aligned"] != found[1]["aligned"]


@pytest.mark.parametrize(
    ("side", "prompt"),
    [("query", "query: "), ("document", "passage: "), ("symmetric", "query: ")],
)
def test_sides(records, side, prompt):
    (record,) = records(f"text={TEXT}", "instruction=e5", f"side={side}")
    assert record["prompt"] == prompt + TEXT


def test_the_tasks_own_instruction(records, tmp_path):
    task = ["tasks.names=[SciFact]", f"text={TEXT}", "instruction=e5_mistral"]
    (listed,) = records(*task, "task_instructions=e5_mistral")
    assert listed["prompt"].startswith("Instruct: Given a scientific claim, retrieve documents")
    (own,) = records(*task, "++task_instructions.SciFact=Look it up")
    assert own["prompt"] == f"Instruct: Look it up\nQuery: {TEXT}"


def test_the_table(inspect, stories):
    status, out, _ = inspect(
        "model=local", f"model.path={stories}", f"text={TEXT}", "templates=[none,e5]"
    )
    assert status == 0
    assert '"query: Once upon a time, there was a dog."' in out
    assert "⟦ <s> ␣Once ␣upon ␣a ␣time , ␣there ␣was ␣a ␣do g . ⟧" in out
    head = next(line for line in out.splitlines() if "weight" in line)
    assert head.split() == ["none", "weight", "e5", "weight"]
    assert "␣a •" in out


def test_a_fitted_head_takes_the_first_tasks_documents(inspect, tmp_path):
    folder = tmp_path / "toy"
    (folder / "qrels").mkdir(parents=True)
    lines = [f'{{"_id": "{n}", "text": "{t}"}}\n' for n, t in enumerate(("cats purr", "dogs bark"))]
    (folder / "corpus.jsonl").write_text("".join(lines))
    (folder / "queries.jsonl").write_text(lines[0])
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n0\t0\t1\n")
    status, out, err = inspect(
        "text=cats", "tasks=folder", f"tasks.path={folder}", "format=json", "top_k=2"
    )
    assert status == 0, err
    assert "fitted on the documents of toy" in err
    aligned = [token["token"] for token in json.loads(out)["aligned"]]
    assert set(aligned) == {"cats", "##rr"}
    # the store and the fit are kept; nothing else is written
    assert {path.name for path in tmp_path.iterdir()} == {"toy", ".harness"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "text is not set: give text=... on the command line"),
        (["text=a", "side=title"], "side='title' is unknown"),
        (["text=a", "top_k=0"], "top_k=0 must be at least 1"),
        (["text=a", "format=html"], "format='html' is unknown"),
        (["text=a", "templates=[nowhere]"], "no option of instruction; choose of: auto, bge"),
        (["text=a", "instructions=[b]"], "holds no {instruction}"),
        (["text=a", "task_instructions=plain", "++task_instructions.X=3"], "task_instructions.X=3"),
        (["text=a", "pooling=echo", "instruction=sgpt"], "holds one copy of the text"),
        (["text=a", "instruction=echo"], "holds {text} twice; use pooling=echo"),
    ],
)
def test_bad_input_is_one_line(inspect, stories, tmp_path, arguments, says):
    status, out, err = inspect("model=local", f"model.path={stories}", *arguments)
    assert status == 2
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / ".harness").exists()


@given(text=st.text(alphabet=st.sampled_from(list("ab '\"\\${},=[]:\n\t.é漢\x01~()"))))
@example(text="a\\'b\\\\${x}\\")
@example(text="ends so\\\n")
def test_any_text_arrives_as_it_is(text):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        assert compose("inspect", overrides=[_quoted(f"text={text}")]).text == text


def test_a_reader_that_has_enough_is_no_error(stories):
    command = [sys.executable, "-m", "harness", "inspect", "text=a", "model=local"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, f"model.path={stories}"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


def test_a_text_that_is_cut_says_so(inspect, records, stories):
    assert records("text=the dog")[0]["cut"] == 0
    (record,) = records(f"text={'dog ' * 600}")
    assert len(record["tokens"]) == 512
    whole = transformers.AutoTokenizer.from_pretrained(stories)("dog " * 600)["input_ids"]
    assert record["cut"] == len(whole) - 512 > 600
    status, out, _ = inspect("model=local", f"model.path={stories}", f"text={'dog ' * 600}")
    assert status == 0
    assert f"its last {record['cut']:,} tokens are cut" in out
