"""Held-out pairs as a collection: written by hand, by a step, and read back."""

import json

import pytest

from harness.config import ModelConfig
from harness.evaluation.tasks.folder import read_collection
from harness.training.contrastive import PairsObjective
from harness.training.data import Pair
from harness.training.held_out import write_collection
from harness.training.stages import perform
from tests.training.small import sentences, step, tokenizer, write_model, write_pairs


def held_out_pairs(path, share):
    config = step("contrastive", pairs=str(path), held_out=share)
    return PairsObjective(config, tokenizer()).held_out


def test_by_hand(tmp_path):
    pairs = [
        Pair("open", "opens a file", ("closes it",)),
        Pair("close", "closes it"),
        Pair("open", "opens\ta “socket”\n"),
        Pair("open", "opens a file"),
    ]
    write_collection(tmp_path, pairs)
    found = read_collection(tmp_path)
    assert [(one[0], one[-1]) for one in found.documents] == [
        ("d0", "opens a file"),
        ("d1", "closes it"),
        ("d2", "opens\ta “socket”\n"),
    ]
    assert found.queries == (("q0", "open"), ("q1", "close"))
    assert found.qrels == {"q0": {"d0": 1, "d2": 1}, "q1": {"d1": 1}}


def test_equal_documents_fall_on_one_side(tmp_path):
    texts = sentences(30)
    path = write_pairs(tmp_path / "pairs.jsonl", texts + texts)
    held = held_out_pairs(path, 0.3)
    assert 2 < len(held) < 58
    positives = [pair.positive for pair in held]
    assert sorted(positives) == sorted(2 * positives[: len(positives) // 2])
    assert held_out_pairs(path, 0.0) == []


@pytest.mark.usefixtures("one_thread")
def test_a_step_leaves_what_it_was_not_trained_on(tmp_path):
    path = write_pairs(tmp_path / "pairs.jsonl", sentences(40))
    start = ModelConfig(path=str(write_model(tmp_path / "model")))
    plain = {"pairs": str(path), "batch_size": 4, "max_length": 16, "epochs": 0.3}
    perform(step("contrastive", **plain, held_out=0.2), start, tmp_path / "out", "cpu")
    found = read_collection(tmp_path / "out" / "held_out_pairs")
    held = held_out_pairs(path, 0.2)
    assert {text for _, text in found.queries} == {pair.query for pair in held}
    lines = map(json.loads, path.read_text().splitlines())
    assert {line["positive"] for line in lines} > {pair.positive for pair in held}
    perform(step("contrastive", **plain), start, tmp_path / "all", "cpu")
    assert not (tmp_path / "all" / "held_out_pairs").exists()
