"""`harness inspect` as a user runs it, and its numbers against a plain loop."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import torch
import transformers
from hydra import compose, initialize_config_dir
from hypothesis import example, given
from hypothesis import strategies as st

from harness.cli import _main, _quoted, config_folder

TEXT = "Once upon a time, there was a dog."
LIKE, DISLIKE = "I like apple", "I do not like apple"


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


def ranked(record):
    return {token["id"]: rank for rank, token in enumerate(record["aligned"], start=1)}


def test_what_two_templates_share(records):
    none, e5 = records(f"text={TEXT}", "templates=[none,e5]", "top_k=30")
    assert none["compared"] == e5["compared"]
    assert none["compared"]["by_text"] is False
    one, two = ranked(none), ranked(e5)
    names = {token["id"]: token["token"] for record in (none, e5) for token in record["aligned"]}
    weights = [{t["id"]: t["weight"] for t in record["aligned"]} for record in (none, e5)]
    assert none["compared"]["tokens"] == [
        {
            "token": names[i],
            "ranks": [one.get(i), two.get(i)],
            "weights": [weights[0].get(i), weights[1].get(i)],
        }
        for i in dict.fromkeys([*one, *two])
    ]
    (overlap,) = none["compared"]["overlaps"]
    common = len(one.keys() & two.keys())
    assert 0 < common < 30
    assert (overlap["common"], overlap["at_k"]) == (common, common / 30)
    assert overlap["jaccard"] == common / (60 - common)


def test_one_variant_is_compared_with_nothing(records):
    (record,) = records(f"text={TEXT}")
    assert record.keys() == {
        *("model", "template", "instruction", "prompt", "tokens", "cut", "aligned")
    }


def test_two_texts(records, stories):
    (record,) = records(f"text={LIKE}", f"other={DISLIKE}")
    (first,), (second,) = records(f"text={LIKE}"), records(f"text={DISLIKE}")
    parts = ("prompt", "tokens", "cut", "aligned")
    assert record["other"] == {"text": DISLIKE, **{part: second[part] for part in parts}}
    assert record["aligned"] == first["aligned"]
    one, two = ranked(first), ranked(second)
    (overlap,) = record["compared"]["overlaps"]
    assert overlap["common"] == len(one.keys() & two.keys()) > 0
    assert [t["ranks"] for t in record["compared"]["tokens"]] == [
        [one.get(i), two.get(i)] for i in dict.fromkeys([*one, *two])
    ]
    tokenizer = transformers.AutoTokenizer.from_pretrained(stories)
    network = transformers.AutoModel.from_pretrained(stories, dtype=torch.float32).eval()
    with torch.inference_mode():
        means = [
            network(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0].mean(dim=0)
            for text in (LIKE, DISLIKE)
        ]
    cosine = torch.nn.functional.cosine_similarity(*means, dim=0)
    assert record["cosine"] == pytest.approx(cosine.item(), abs=1e-5)


def test_a_text_beside_itself(records):
    (record,) = records(f"text={LIKE}", f"other={LIKE}")
    assert record["cosine"] == pytest.approx(1.0, abs=1e-6)
    (overlap,) = record["compared"]["overlaps"]
    assert (overlap["common"], overlap["at_k"], overlap["jaccard"]) == (10, 1.0, 1.0)
    assert overlap["rbo"] == pytest.approx(1.0)


def test_two_texts_under_each_template(inspect, stories):
    status, out, err = inspect(
        *("model=local", f"model.path={stories}", f"text={LIKE}", f"other={DISLIKE}"),
        *("templates=[none,e5]", "format=json"),
    )
    assert status == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert [record["other"]["prompt"] for record in found] == [DISLIKE, "query: " + DISLIKE]
    assert found[0]["cosine"] < found[1]["cosine"] < 1


@pytest.fixture
def several(inspect):
    """The JSON records of a text under several models."""

    def run(models, *arguments):
        status, out, err = inspect(
            f"models=[{','.join(map(str, models))}]", "format=json", *arguments
        )
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return run


def test_models_side_by_side_are_each_as_alone(several, stories, tiny_bert):
    found = several([stories, tiny_bert], "text=A cat is a ${animal}.")
    assert [record["model"] for record in found] == ["local/stories260K", "local/tiny-bert"]
    for record, model in zip(found, (stories, tiny_bert), strict=True):
        assert record["prompt"] == "A cat is a ${animal}."
        (alone,) = several([model], "text=A cat is a ${animal}.")
        assert "compared" not in alone
        assert {key: record[key] for key in alone} == alone
    assert found[0]["compared"]["by_text"] is True
    for record, place in zip(found, (0, 1), strict=True):
        texts = [t["token"].lower().removeprefix("␣").removeprefix("##") for t in record["aligned"]]
        compared = {
            token["token"]: token["ranks"][place]
            for token in record["compared"]["tokens"]
            if token["ranks"][place]
        }
        assert compared == {text or "␣": texts.index(text) + 1 for text in texts}


def test_models_of_one_tokenizer_are_compared_by_id(several, stories, tmp_path):
    shutil.copytree(stories, tmp_path / "copy")
    found = several([stories, "./copy"], f"text={TEXT}")
    assert [record["model"] for record in found] == ["local/stories260K", "local/copy"]
    assert found[0]["compared"]["by_text"] is False
    (overlap,) = found[0]["compared"]["overlaps"]
    assert (overlap["common"], overlap["rbo"]) == (10, pytest.approx(1.0))
    assert "␣a" in [token["token"] for token in found[0]["compared"]["tokens"]]


def test_an_option_of_model_brings_its_own_and_overrides_hold_for_all(several, stories):
    found = several(["minilm", stories], "text=I like", "head=tied", "top_k=3", "instruction=e5")
    assert [record["model"] for record in found] == [
        "sentence-transformers/all-MiniLM-L6-v2",
        "local/stories260K",
    ]
    assert [record["prompt"] for record in found] == ["query: I like"] * 2
    assert [len(record["aligned"]) for record in found] == [3, 3]
    assert found[0]["tokens"][0]["token"] == "[CLS]"


def test_two_texts_under_two_models(inspect, stories, tiny_bert):
    status, out, err = inspect(
        f"models=[{stories},{tiny_bert}]", f"text={LIKE}", f"other={DISLIKE}", "top_k=4"
    )
    assert status == 0, err
    blocks = out.split("text and other")
    assert blocks[0].count("shared and differing tokens") == 2
    rows = [line.split() for line in blocks[1].splitlines() if "." in line]
    assert [row[0] for row in rows] == ["stories260K", "tiny-bert", "RBO:"]
    assert all(len(row) == 6 for row in rows[:2])


def test_folders_of_one_name_are_told_apart(inspect, stories, tmp_path):
    for parent in ("a", "b"):
        shutil.copytree(stories, tmp_path / parent / "model")
    status, out, err = inspect("models=[a/model,b/model]", "text=a", "top_k=1")
    assert status == 0, err
    assert {"a/model", "b/model"} <= set(out.splitlines())


def test_a_transform_that_reads_the_heads_matrix(records):
    (plain,) = records(f"text={TEXT}")
    (filtered,) = records(f"text={TEXT}", "transform=embed_filter")
    assert ranked(plain) != ranked(filtered)


@pytest.mark.parametrize("suffix", ["", ".png"])
def test_the_figure_and_its_data(inspect, stories, tmp_path, suffix):
    status, out, err = inspect(
        *("model=local", f"model.path={stories}", f"text={LIKE}", f"other={DISLIKE}", "top_k=4"),
        *(f"figure=figures/apple{suffix}", "format=json"),
    )
    assert status == 0, err
    files = [f"figures/apple.{kind}" for kind in ("png", "svg", "csv")]
    assert err == f"drawn: {', '.join(files)}\n"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("figures/*")) == sorted(
        files
    )
    record = json.loads(out)
    data = pd.read_csv(tmp_path / files[2])
    assert data["text"].tolist() == [LIKE] * 4 + [DISLIKE] * 4
    assert data["variant"].unique().tolist() == ["local/stories260K"]
    listed = [*record["aligned"], *record["other"]["aligned"]]
    assert data["token"].tolist() == [token["token"] for token in listed]
    assert data["weight"].tolist() == pytest.approx([token["weight"] for token in listed])
    assert data["rank"].tolist() == [1, 2, 3, 4] * 2
    both = set(ranked(record)) & {token["id"] for token in record["other"]["aligned"]}
    assert data["shared"].tolist() == [token["id"] in both for token in listed]


def test_the_figures_data_of_several_templates(inspect, stories, tmp_path):
    status, _, err = inspect(
        *("model=local", f"model.path={stories}", f"text={LIKE}", "templates=[none,e5]"),
        *("top_k=2", "figure=two"),
    )
    assert status == 0, err
    data = pd.read_csv(tmp_path / "two.csv")
    assert data["variant"].tolist() == ["none", "none", "e5", "e5"]
    assert data["text"].unique().tolist() == [LIKE]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["models=[local]"], "models: local leaves model.path open; name the model itself"),
        (["models=[nowhere]"], "'nowhere' is no option of model; choose of: bge_base, "),
        (["models=[nowhere]"], "; a folder has a slash, ./nowhere"),
        (["models=[./nowhere]"], "model.path=nowhere holds no config.json"),
        (["models=[minilm]", "model=local"], "both say which model; leave model out"),
        (["models=[minilm]", "model.path=x"], "both say which model; leave model.path out"),
        (["models=[minilm,minilm]"], "models names 'minilm' twice; name it once"),
        (["models=[minilm]", "instructions=[b]"], "all-MiniLM-L6-v2 holds no {instruction}"),
        (["model=minilm", "figure=x"], "figure=x has nothing to compare: give other=..., or"),
        (["other=b", "figure=."], "figure=. is a folder; name a file in it, figure=lens"),
    ],
)
def test_bad_comparisons_are_one_line(inspect, tmp_path, arguments, says):
    status, out, err = inspect("text=a", *arguments)
    assert status == 2
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


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
