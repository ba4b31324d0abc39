"""Reading training data: values, and what a wrong line is told."""

import gzip

import numpy as np
import pytest
import torch

from harness.embedding.ragged import Ragged
from harness.training.data import (
    Pair,
    file_digest,
    padded,
    read_pairs,
    read_texts,
    split,
    tokenize,
)
from tests.training.small import sentences, tokenizer


def test_texts(tmp_path):
    path = tmp_path / "text.jsonl"
    path.write_text('{"text": "one", "more": 1}\n\n{"text": " zwei é"}\n')
    assert read_texts(path) == ["one", " zwei é"]
    packed = tmp_path / "text.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_texts(packed) == read_texts(path)


def test_pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"query": "q", "positive": "p"}\n'
        '{"query": "r", "positive": "s", "negatives": ["t", "u"]}\n'
    )
    assert read_pairs(path) == [Pair("q", "p"), Pair("r", "s", ("t", "u"))]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "cut', "line 2"),
        ("[1]", "line 2"),
        ('{"txt": "a"}', 'line 2 has no "text"'),
        ('{"text": " "}', "not empty"),
        ('{"text": 7}', "not empty"),
        ('{"text": "\\ud800"}', "surrogate"),
    ],
)
def test_a_wrong_text(tmp_path, refusal, line, says):
    path = tmp_path / "text.jsonl"
    path.write_text(f'{{"text": "good"}}\n{line}\n')
    message = refusal(lambda: read_texts(path))
    assert says.removeprefix("line 2 ") in message
    assert f"{path}, line 2" in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"query": "a"}', 'no "positive"'),
        ('{"positive": "a"}', 'no "query"'),
        ('{"query": "", "positive": "a"}', '"query"'),
        ('{"query": "a", "positive": "b", "negatives": "c"}', '"negatives"'),
        ('{"query": "a", "positive": "b", "negatives": [3]}', '"negatives"'),
        ('{"query": "a", "positive": "b", "negatives": ["\\udfff"]}', '"negatives"'),
    ],
)
def test_a_wrong_pair(tmp_path, refusal, line, says):
    path = tmp_path / "pairs.jsonl"
    path.write_text(line)
    message = refusal(lambda: read_pairs(path))
    assert says in message
    assert "line 1" in message


def test_no_file_and_no_lines(tmp_path, refusal):
    assert "train.text=FILE" in refusal(lambda: read_texts(tmp_path / "none"))
    assert "train.pairs=FILE" in refusal(lambda: file_digest(tmp_path))
    (tmp_path / "empty").write_text("\n")
    assert "holds no texts" in refusal(lambda: read_texts(tmp_path / "empty"))
    assert "holds no pairs" in refusal(lambda: read_pairs(tmp_path / "empty"))


def test_a_split_is_of_the_text_alone():
    texts = sentences(60) * 2
    trained, held = split(texts, 0.3)
    assert sorted([*trained, *held]) == list(range(120))
    assert held.tolist() == [*held[held < 60], *(held[held < 60] + 60)]
    assert 6 <= len(held) / 2 <= 30
    again, _ = split(texts[:60], 0.3)
    assert again.tolist() == trained[trained < 60].tolist()
    assert len(split(texts, 0.0)[1]) == 0


def test_at_most_some_512_are_held_out():
    _, held = split([str(number) for number in range(20_000)], 0.5)
    assert 440 < len(held) < 590


def test_tokenize_cuts():
    found = tokenize(tokenizer(), ["the cat", "the " * 30], 8)
    assert found.lengths.tolist() == [3, 8]
    assert found[0].tolist() == tokenizer()("the cat")["input_ids"]


def test_padded():
    rows = Ragged.from_rows([[1, 2], [3, 4, 5], [6]])
    ids, mask = padded(rows, np.array([2, 1]), 9, torch.device("cpu"))
    assert ids.tolist() == [[6, 9, 9], [3, 4, 5]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]


def test_a_digest_is_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert file_digest(tmp_path / "abc") == "ba7816bf8f01cfea"
