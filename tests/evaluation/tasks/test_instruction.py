"""Where a task's instruction comes from, and that each task of a run gets its own."""

import json
import sys
from types import SimpleNamespace

import mteb
import pytest

from harness.cli import _main
from harness.embedding.instructions import TaskInstruction
from harness.evaluation.tasks.instruction import task_instruction

SCIFACT = "Given a scientific claim, retrieve documents that support or refute the claim"
TYPE = "Retrieve text based on user query."


def task(name="toy", prompt=None, of_type=TYPE):
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, prompt=prompt), abstask_prompt=of_type
    )


@pytest.mark.parametrize(
    ("name", "prompt", "texts", "expected"),
    [
        ("toy", None, {}, TYPE),
        ("toy", None, {"default": "D"}, "D"),
        ("toy", "own", {"default": "D"}, "own"),
        ("toy", {"query": "own"}, {"default": "D"}, "own"),
        ("toy", "own", {"default": "D", "toy": "listed"}, "listed"),
        ("SciFact", "own", {"scifact": "listed"}, "listed"),
        ("scifact", "own", {"SciFact": "listed"}, "listed"),
        ("toy", "own", {"toy": "", "default": "D"}, ""),
        ("toy", "", {}, TYPE),
    ],
)
def test_the_first_that_is_there(name, prompt, texts, expected):
    assert task_instruction(task(name, prompt), texts) == TaskInstruction(query=expected)


def test_exact_names_before_others():
    texts = {"toy": "small", "Toy": "large"}
    assert task_instruction(task("Toy"), texts).query == "large"


def test_sides():
    both = {"toy": {"query": "q", "document": "d"}}
    assert task_instruction(task(), both) == TaskInstruction(query="q", document="d")
    only = {"toy": {"document": "d"}}
    assert task_instruction(task(), only) == TaskInstruction(query="", document="d")
    assert TaskInstruction(query="q", document="d").of("symmetric") == "q"


def test_mtebs_own_prompts():
    assert task_instruction(mteb.get_task("SciFact"), {}) == TaskInstruction(query=SCIFACT)


@pytest.fixture
def run(tmp_path, capfd, monkeypatch, stories):
    """Runs a model on two collections with the same documents; the rows and standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name / "qrels").mkdir(parents=True)
        (tmp_path / name / "corpus.jsonl").write_text(
            '{"_id": "a", "text": "cats purr"}\n{"_id": "b", "text": "dogs bark"}\n'
        )
        (tmp_path / name / "queries.jsonl").write_text('{"_id": "q", "text": "a purr"}\n')
        (tmp_path / name / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")

    def run(*overrides):
        capfd.readouterr()
        status = _main(
            [
                *("run", "model=local", f"model.path={stories}", "tasks=folder"),
                *("tasks.path=[one,two]", "retrieval=[dense]", "cost=off", "format=json"),
                *("store_dir=store", "instruction=e5_mistral", *overrides),
            ]
        )
        out, err = capfd.readouterr()
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()], err

    return run


def spaces(tmp_path):
    """The templates that texts were stored under, by side."""
    found = {"query": set(), "document": set()}
    for file in tmp_path.glob("store/embeddings/*/space.json"):
        space = json.loads(file.read_text())
        found[space["side"]].add("|".join(space["instruction"]["pieces"]))
    return found


def test_each_task_of_a_run_has_its_own(run, tmp_path):
    rows, err = run("++task_instructions.one=Find cats", "++task_instructions.default=Find it")
    assert [row["task"] for row in rows] == ["one", "two"]
    assert rows[0]["experiment"] != rows[1]["experiment"]
    # documents have no instruction, so they are encoded once for both
    assert spaces(tmp_path) == {
        "query": {"Instruct: Find cats\nQuery: |", "Instruct: Find it\nQuery: |"},
        "document": {"|"},
    }
    assert "4 texts encoded, 2 read from the store" in err


def test_an_instruction_that_changes_is_another_result(run):
    first, _ = run("++task_instructions.default=Find it")
    again, err = run("++task_instructions.default=Find it")
    assert "0 results computed, 2 kept" in err
    other, err = run("++task_instructions.default=Find all")
    assert "2 results computed, 0 kept" in err
    names = [{row["experiment"] for row in rows} for rows in (first, again, other)]
    assert names[0] == names[1]
    assert names[0].isdisjoint(names[2])


def test_one_that_no_template_wants_changes_nothing(run):
    run("instruction=e5", "++task_instructions.default=Find it")
    _, err = run("instruction=e5", "++task_instructions.default=Find all")
    assert "0 results computed, 2 kept" in err


def test_documents_with_instructions(run, tmp_path):
    run("++task_instructions.default={query: Q, document: D}")
    assert spaces(tmp_path) == {
        "query": {"Instruct: Q\nQuery: |"},
        "document": {"Instruct: D\nQuery: |"},
    }
