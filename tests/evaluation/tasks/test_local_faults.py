"""What is wrong with a folder is said in one line: file, line, fault and remedy."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import BadInputError
from harness.evaluation.tasks.folder import local_task
from harness.evaluation.tasks.typed.forms import FORMS

STS = [
    {"sentence1": "a", "sentence2": "b", "score": 1},
    {"sentence1": "c", "sentence2": "d", "score": 2},
]
PAIRS = [
    {"sentence1": "a", "sentence2": "b", "label": 0},
    {"sentence1": "c", "sentence2": "d", "label": 1},
]
BITEXT = [{"sentence1": "a", "sentence2": "b"}, {"sentence1": "c", "sentence2": "d"}]
LABELS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
SEVERAL = [{"text": "a", "labels": ["x"]}, {"text": "b", "labels": ["y", "x"]}]
VALUES = [{"text": "a", "value": 1}, {"text": "b", "value": 2.5}]
CLUSTERS = [{"text": "a", "cluster": "x"}, {"text": "b", "cluster": "y"}]
RANKED = [{"query": "a", "positive": ["b"], "negative": ["c"]}] * 2
SUMMARIES = [
    {
        "text": "a",
        "human_summaries": ["b"],
        "machine_summaries": ["c", "d"],
        "relevance": [1, 2],
    }
] * 2

GOOD = {
    "STS": {"test": STS},
    "PairClassification": {"test": PAIRS},
    "BitextMining": {"test": BITEXT},
    "Classification": {"test": LABELS, "train": LABELS},
    "MultilabelClassification": {"test": SEVERAL, "train": SEVERAL * 3},
    "Regression": {"test": VALUES, "train": VALUES},
    "Clustering": {"test": CLUSTERS},
    "Reranking": {"test": RANKED},
    "Summarization": {"test": SUMMARIES},
}


def write(folder: Path, files: dict[str, list | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        lines = content
        if isinstance(content, list):
            lines = "".join(json.dumps(record) + "\n" for record in content).encode()
        (folder / f"{name}.jsonl").write_bytes(lines)
    return folder


def refusal(folder: Path, **options: str) -> str:
    with pytest.raises(BadInputError) as caught:
        local_task(folder, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert "; " in message
    return message


@pytest.mark.parametrize("name", GOOD)
def test_the_good_folders_are_good(tmp_path, name):
    task = local_task(write(tmp_path / "mine", GOOD[name]))
    assert task.metadata.type == name


def with_field(name: str, key: str, value: object) -> list[dict]:
    """The good lines with the second one's field changed."""
    first, second = GOOD[name]["test"]
    return [first, second | {key: value}]


def without_field(name: str, key: str) -> list[dict]:
    first, second = GOOD[name]["test"]
    return [first, {k: v for k, v in second.items() if k != key}]


@pytest.mark.parametrize(("name", "key"), [(n, key) for n in GOOD for key in FORMS[n].keys])
def test_a_missing_key_is_named_with_its_line(tmp_path, name, key):
    folder = write(tmp_path, GOOD[name] | {"test": without_field(name, key)})
    message = refusal(folder)
    assert message.startswith(f"{folder / 'test.jsonl'}, line 2: ")
    assert f'has no "{key}"; add it' in message


TEXT_KEYS = [
    ("STS", "sentence1", None),
    ("STS", "sentence2", None),
    ("PairClassification", "sentence2", None),
    ("BitextMining", "sentence1", None),
    ("Classification", "text", None),
    ("MultilabelClassification", "text", None),
    ("Regression", "text", None),
    ("Clustering", "text", None),
    ("Reranking", "query", None),
    ("Reranking", "positive", list),
    ("Reranking", "negative", list),
    ("Summarization", "text", None),
    ("Summarization", "human_summaries", list),
]


@pytest.mark.parametrize(("name", "key", "wrap"), TEXT_KEYS)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, ["a number", "write a string"]),
        (None, ["null", "write a string"]),
        (["a"], ["an array", "write a string"]),
        ("a\0", ["NUL", "remove"]),
        ("\ud800", ["surrogate", "remove"]),
        (" \t\n", ["blank", "tasks.empty_text=keep"]),
    ],
)
def test_a_bad_text_is_named_with_its_line(tmp_path, name, key, wrap, value, words):
    lines = with_field(name, key, [value] if wrap else value)
    message = refusal(write(tmp_path, GOOD[name] | {"test": lines}))
    assert message.startswith(f"{tmp_path / 'test.jsonl'}, line 2: ")
    assert f'"{key}"' in message
    assert all(word in message for word in words), message


# (type, key, value, words of the fault and of the remedy)
BAD_VALUES = [
    ("STS", "score", "4", ["a string, not a number", "write a number"]),
    ("STS", "score", True, ["a boolean, not a number", "write a number"]),
    ("STS", "score", None, ["null, not a number", "write a number"]),
    ("STS", "score", float("nan"), ["not finite", "write a finite number"]),
    ("STS", "score", float("inf"), ["not finite", "write a finite number"]),
    ("STS", "score", 10**400, ["not finite", "write a finite number"]),
    ("PairClassification", "label", 2, ["neither 0 nor 1", "write 1"]),
    ("PairClassification", "label", "1", ["neither 0 nor 1", "write 1"]),
    ("PairClassification", "label", True, ["neither 0 nor 1", "write 1"]),
    ("PairClassification", "label", 1.0, ["neither 0 nor 1", "write 1"]),
    ("PairClassification", "label", [1], ["neither 0 nor 1", "write 1"]),
    ("Classification", "label", 1.5, ["a number", "a string or an integer"]),
    ("Classification", "label", None, ["null", "a string or an integer"]),
    ("Classification", "label", False, ["a boolean", "a string or an integer"]),
    ("Classification", "label", " ", ["blank", "write a name"]),
    ("Classification", "label", "\0", ["NUL", "remove"]),
    ("Classification", "label", 2**63, ["64 bits", "write a string"]),
    ("Classification", "label", 3, ["strings in one line and integers", "one kind"]),
    ("Classification", "label", "z", ["'z' is in no line of train.jsonl", "add lines"]),
    ("MultilabelClassification", "labels", "x", ["a string, not an array", "[...]"]),
    ("MultilabelClassification", "labels", ["x", 1.5], ["a number", "a string or an integer"]),
    ("MultilabelClassification", "labels", ["x", 1], ["strings in one line", "one kind"]),
    ("MultilabelClassification", "labels", ["z"], ["'z' is in no line", "add lines"]),
    ("Regression", "value", "1", ["a string, not a number", "write a number"]),
    ("Regression", "value", float("-inf"), ["not finite", "write a finite number"]),
    ("Clustering", "cluster", {}, ["an object", "a string or an integer"]),
    ("Clustering", "cluster", [], ["empty", "write a string"]),
    ("Clustering", "cluster", ["x", None], ["null", "a string or an integer"]),
    ("Clustering", "cluster", 1, ["strings in one place and integers", "one kind"]),
    ("Clustering", "cluster", ["x", 1], ["strings in one place and integers", "one kind"]),
    ("Reranking", "positive", "b", ["a string, not an array", "[...]"]),
    ("Summarization", "human_summaries", [], ["empty", "add a summary"]),
    ("Summarization", "machine_summaries", [], ["empty", "add a summary"]),
    ("Summarization", "relevance", [1], ["2 entries", '"relevance" 1', "one grade for each"]),
    ("Summarization", "relevance", [1, "2"], ["a string, not a number", "write a number"]),
    ("Summarization", "relevance", 1, ["a number, not an array", "[...]"]),
]


@pytest.mark.parametrize(("name", "key", "value", "words"), BAD_VALUES)
def test_a_bad_value_is_named_with_its_line(tmp_path, name, key, value, words):
    lines = with_field(name, key, value)
    message = refusal(write(tmp_path, GOOD[name] | {"test": lines}))
    assert message.startswith(f"{tmp_path / 'test.jsonl'}, line 2: ")
    assert all(word in message for word in words), message
    assert len(message.removeprefix(str(tmp_path))) < 300


def test_a_bad_training_line_is_named(tmp_path):
    lines = [*LABELS, {"text": "c", "label": 4}]
    message = refusal(write(tmp_path, {"test": LABELS, "train": lines}))
    assert message.startswith(f"{tmp_path / 'train.jsonl'}, line 3: labels are strings")


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"{}\n{nonsense}", 1, ["fit no type", "STS: sentence1, sentence2, score"]),
        (b'{"sentence1": "a", "sentence2": "b"}\n\nnonsense', 3, ["not valid JSON", "one object"]),
        (b'{"sentence1": "a", "sentence2": "b"}\n[1]', 2, ["an array", "one object a line"]),
        (b'"a"', 1, ["a string", "one object a line"]),
        (b'{"sentence1": "caf\xe9"}', 1, ["not UTF-8", "convert"]),
        (b'{"sentence1": "a", "sentence2": "b", "label": 1, "score": 1}', 1, ["fit STS and Pair"]),
        (b'{"text": "a", "label": 1, "cluster": 2}', 1, ["fit Classification and Clustering"]),
        (b'{"sentence1": "a", "sentence2": "b", "similarity": 1}', 1, ["fit no type", "task.json"]),
        (json.dumps(dict.fromkeys(map(str, range(99)))).encode(), 1, ["99 keys fit no type"]),
        (json.dumps({"x" * 9999: 1}).encode(), 1, ["…", "fit no type"]),
    ],
)
def test_lines_that_tell_no_type_are_refused(tmp_path, content, line, words):
    message = refusal(write(tmp_path, {"test": content}))
    assert message.startswith(f"{tmp_path / 'test.jsonl'}, line {line}: ")
    assert all(word in message for word in words), message
    assert len(message) < 1200


def test_every_type_is_listed_with_its_keys(tmp_path):
    message = refusal(write(tmp_path, {"test": [{"x": 1}]}))
    for form in FORMS.values():
        assert f"{form.task_type}: {', '.join(form.keys)}" in message


def test_other_keys_are_ignored(tmp_path):
    lines = [row | {"id": n, "genre": None} for n, row in enumerate(STS)]
    plain = local_task(write(tmp_path / "a" / "mine", {"test": STS}))
    more = local_task(write(tmp_path / "b" / "mine", {"test": lines}))
    assert more.metadata == plain.metadata


EQUAL_SCORES = [row | {"score": 1} for row in STS]
ONE_CLUSTER = [row | {"cluster": "x"} for row in CLUSTERS]
NO_CLUSTER = [row | {"cluster": number} for row, number in zip(CLUSTERS, (-1, 3), strict=True)]
FLAT_BELOW = [row | {"cluster": [row["cluster"], "same"]} for row in CLUSTERS]


@pytest.mark.parametrize(
    ("name", "files", "file", "words"),
    [
        ("STS", {"test": EQUAL_SCORES}, "test", ["all scores are equal", "add"]),
        ("PairClassification", {"test": PAIRS[:1]}, "test", ["label 1", "add one"]),
        ("PairClassification", {"test": PAIRS[1:]}, "test", ["label 0", "add one"]),
        ("BitextMining", {"test": BITEXT[:1]}, "test", ["one pair", "add another"]),
        ("Classification", {"test": LABELS[:1], "train": LABELS[:1]}, "train", ["1 label", "add"]),
        ("MultilabelClassification", {"test": SEVERAL[:1]}, "test", ["fewer than 2", "add"]),
        ("MultilabelClassification", {"train": SEVERAL * 2}, "train", ["as few as 4", "needs 5"]),
        ("Regression", {"test": VALUES[:1]}, "test", ["all values are equal", "add"]),
        ("Regression", {"train": VALUES[:1] * 3}, "train", ["all values are equal", "add"]),
        ("Clustering", {"test": ONE_CLUSTER}, "test", ["fewer than 2 clusters", "add"]),
        ("Clustering", {"test": NO_CLUSTER}, "test", ["fewer than 2 clusters", "add"]),
        ("Clustering", {"test": FLAT_BELOW}, "test", ["clusters at place 2", "add"]),
        (
            "Reranking",
            {"test": [RANKED[0] | {"positive": []}, RANKED[0] | {"negative": []}]},
            "test",
            ["both a positive and a negative", "add one"],
        ),
        (
            "Summarization",
            {"test": [SUMMARIES[0] | {"relevance": [1, 1]}]},
            "test",
            ["two different grades", "add one"],
        ),
    ],
)
def test_lines_that_cannot_be_scored_together_are_refused(tmp_path, name, files, file, words):
    message = refusal(write(tmp_path, GOOD[name] | files))
    assert message.startswith(f"{tmp_path / file}.jsonl: ")
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", ["Classification", "MultilabelClassification", "Regression"])
def test_training_lines_are_asked_for(tmp_path, name):
    folder = write(tmp_path, {"test": GOOD[name]["test"]})
    message = refusal(folder)
    assert message.startswith(f"{folder / 'train.jsonl'}: there is no such file")
    assert "add it with lines like those of test" in message
    message = refusal(write(tmp_path, {"train": GOOD[name]["train"]}), split="train")
    assert "learns from these lines" in message
    assert "set tasks.split" in message
    assert "train.jsonl: holds no line" in refusal(write(tmp_path, {"train": b"\n"}))


def test_training_values_that_mteb_cannot_draw_evenly_are_refused(tmp_path):
    # mteb draws 2048 and stratifies by ten ranges; 2 lines that remain cannot fill ten ranges.
    def lines(count):
        return [{"text": "a", "value": n} for n in range(count)]

    assert local_task(write(tmp_path, {"test": VALUES, "train": lines(2048)})).data_loaded
    message = refusal(write(tmp_path, {"train": lines(2050)}))
    assert "cannot draw 2048 of its 2050 lines" in message
    assert local_task(write(tmp_path, {"train": lines(2100)})).data_loaded


def test_a_missing_split_names_those_that_are_there(tmp_path):
    write(tmp_path, {"dev": STS, "train": STS, ".hidden": STS})
    (tmp_path / "more.jsonl.gz").write_bytes(gzip.compress(b""))
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path}: there are no lines for split 'test'")
    assert "set tasks.split to one of 'dev', 'more', 'train'" in message
    for split in ("../dev", "/etc/hosts", "", "d*", "DEV"):
        assert "set tasks.split to one of" in refusal(tmp_path, split=split)
    assert "more.jsonl.gz: holds no line" in refusal(tmp_path, split="more")


def test_an_empty_folder_and_none_are_refused(tmp_path):
    assert "add it as SPLIT.jsonl, or corpus.jsonl" in refusal(tmp_path)
    assert "no such folder; set tasks.path" in refusal(tmp_path / "absent")
    write(tmp_path, {"test": STS})
    assert "not a folder; set tasks.path" in refusal(tmp_path / "test.jsonl")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    assert "rename the folder" in refusal(write(tmp_path / "caf\udce9", {"test": STS}))


def test_a_collection_without_its_corpus_is_no_folder_of_lines(tmp_path):
    folder = write(tmp_path, {"queries": [{"_id": "q1", "text": "a"}]})
    assert refusal(folder).startswith(f"{folder / 'corpus.jsonl'}: there is no such file")


def test_the_first_bad_line_is_reported(tmp_path):
    lines = [STS[0], STS[1] | {"sentence1": ""}, {"sentence1": 1}]
    folder = write(tmp_path, {"test": lines})
    assert "line 2: " in refusal(folder)
    assert "line 3: " in refusal(folder, empty_text="keep")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(sorted(GOOD)), data=st.data())
def test_any_damage_is_read_or_refused_in_one_line(tmp_path_factory, name, data):
    content = "".join(json.dumps(row) + "\n" for row in GOOD[name]["test"]).encode()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    damaged = content[:start] + data.draw(st.binary(max_size=6)) + content[end:]
    folder = write(tmp_path_factory.mktemp("damaged"), GOOD[name] | {"test": damaged})
    message = ""
    try:
        local_task(folder)
    except BadInputError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith(str(folder) if message else "")


def collection(folder: Path, **files) -> Path:
    good = {
        "corpus": [{"_id": "d1", "text": "a"}, {"_id": "d2", "text": "b"}],
        "queries": [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "b"}],
    }
    ranked = files.pop("top_ranked", None)
    write(folder, good | files)
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    if ranked is not None:
        write(folder / "top_ranked", {"test": ranked})
    return folder


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        (7, ['"instruction" is a number', "write a string"]),
        (["a"], ['"instruction" is an array', "write a string"]),
        (" ", ['"instruction" is blank', "null"]),
        ("\0", ['"instruction" contains a NUL', "remove"]),
    ],
)
def test_a_bad_instruction_is_named_with_its_line(tmp_path, instruction, words):
    queries = [
        {"_id": "q1", "text": "a"},
        {"_id": "q2", "text": "b", "instruction": instruction},
    ]
    message = refusal(collection(tmp_path / "set", queries=queries))
    assert message.startswith(f"{tmp_path / 'set' / 'queries.jsonl'}, line 2: ")
    assert all(word in message for word in words), message


LISTED = {"query": "q1", "documents": ["d1", "d2"]}


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        (
            [LISTED, {"query": "q9", "documents": ["d1"]}],
            2,
            ["'q9' is not in the queries", "remove"],
        ),
        ([LISTED, LISTED], 2, ["'q1' has a line already", "keep one"]),
        ([{"query": "q1", "documents": ["d1", "d9"]}], 1, ["'d9' is not in the corpus", "remove"]),
        ([{"query": "q1", "documents": ["d1", ""]}], 1, ["'' is not in the corpus", "remove"]),
        ([{"query": "q1", "documents": ["d2", "d2"]}], 1, ["'d2' is listed twice", "keep it once"]),
        ([{"query": "q1", "documents": []}], 1, ['"documents" is empty', "list"]),
        ([{"query": "q1", "documents": "d1"}], 1, ['"documents" is a string', "[...]"]),
        ([{"query": "q1", "documents": [None]}], 1, ['"documents" is null', "write an id"]),
        ([{"query": 1.5, "documents": ["d1"]}], 1, ['"query" is a number', "write an id"]),
        ([{"query": "q1"}], 1, ['has no "documents"', "add it"]),
        ([{"documents": ["d1"]}], 1, ['has no "query"', "add it"]),
        ([{"query": "q2", "documents": ["d1"]}], None, ["judged query 'q1'", "add its candidates"]),
        ([], None, ["judged query 'q1'", "add its candidates"]),
    ],
)
def test_bad_candidates_are_named(tmp_path, lines, line, words):
    folder = collection(tmp_path / "set", top_ranked=lines)
    message = refusal(folder)
    where = str(folder / "top_ranked" / "test.jsonl") + (f", line {line}: " if line else ": ")
    assert message.startswith(where)
    assert all(word in message for word in words), message


def test_candidates_of_another_split_are_not_passed_over(tmp_path):
    folder = collection(tmp_path / "set", top_ranked=[{"query": "q1", "documents": ["d1"]}])
    (folder / "top_ranked" / "test.jsonl").rename(folder / "top_ranked" / "dev.jsonl")
    assert refusal(folder) == (
        f"{folder}/top_ranked: has no candidates of split 'test'; add test.jsonl, or remove the "
        "folder"
    )


def test_candidates_may_have_integer_ids_and_be_compressed(tmp_path):
    folder = collection(
        tmp_path / "set", corpus=[{"_id": 7, "text": "a"}, {"_id": "d1", "text": "b"}]
    )
    (folder / "top_ranked").mkdir()
    lines = b'{"query": "q1", "documents": [7, "d1"]}\n'
    (folder / "top_ranked" / "test.jsonl.gz").write_bytes(gzip.compress(lines))
    data = local_task(folder).dataset["default"]["test"]
    assert data["top_ranked"] == {"q1": ["7", "d1"]}
