"""A small judged collection, a model and its slightly moved copy, and configurations of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

DOCUMENTS = [
    ("apple", "Fruit", "An apple a day keeps the doctor away."),
    ("ball", "", "Tom had a red ball. He liked to play with it in the park."),
    ("bone", "", "The dog was sad. It could not find the bone."),
    ("cake", "Baking", "Mom made a big cake with milk and eggs."),
    ("cat", "", "A cat sat on the mat and looked at the bird."),
    ("dog", "", "The dog ran to the park to play with the ball."),
    ("fish", "", "The little fish swam in the deep blue sea."),
    ("girl", "", "Once upon a time there was a little girl named Lily."),
    ("moon", "Night", "The moon was bright and the stars were out."),
    ("park", "", "Mom said we can go to the park and see the dog!"),
    ("rain", "", "It was a rainy day and Lily could not play outside."),
    ("sea", "", "They went to the sea and saw a big boat."),
    ("toy", "", "Tim gave his toy car to his friend."),
    ("tree", "", "A bird lived in a tall tree near the park."),
]
QUERIES = [
    ("q1", "play in the park", {"ball": 2, "dog": 1, "park": 1, "toy": 0}),
    ("q2", "a sad dog", {"bone": 3, "dog": 1, "cat": -1}),
    ("q3", "Lily", {"girl": 1, "rain": 1}),
    ("cat", "the cat and the bird", {"cat": 1, "tree": 2}),
    ("q5", "a boat on the blue sea", {"sea": 1, "fish": 1}),
]


def write_collection(folder, documents=DOCUMENTS, queries=QUERIES) -> Path:
    """A folder in BEIR's format."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": i, "title": t, "text": x}) for i, t, x in documents]
    (folder / "corpus.jsonl").write_text("\n".join(corpus) + "\n")
    lines = [json.dumps({"_id": i, "text": x}) for i, x, _ in queries]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    rows = ["query-id\tcorpus-id\tscore"]
    rows += [f"{i}\t{d}\t{g}" for i, _, grades in queries for d, g in grades.items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


def moved_model(source, target, *, seed=0, scale=0.05) -> Path:
    """A copy of a model whose every weight is a little different, as after training."""
    shutil.copytree(source, target)
    rng = np.random.default_rng(seed)
    tensors = {
        name: (tensor + scale * rng.standard_normal(tensor.shape)).astype(tensor.dtype)
        for name, tensor in sorted(load_file(target / "model.safetensors").items())
    }
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.fixture
def folder(tmp_path):
    return write_collection(tmp_path / "tales")


@pytest.fixture(scope="session")
def tiny_embedder(tiny_llama, tmp_path_factory):
    """What the random Llama would be after some training."""
    return moved_model(tiny_llama, tmp_path_factory.mktemp("moved") / "tiny-embedder")


@pytest.fixture
def analyze_config(tmp_path, folder):
    """Composes `harness analyze` on the collection: a model's folder and more overrides."""
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import AnalyzeConfig, parse

    def make(model, *overrides):
        settings = [
            *("model=local", f"model.path={model}", "head=lm_head", "backend.device=cpu"),
            *("tasks=folder", f"tasks.path=[{folder}]", f"store_dir={tmp_path / 'store'}"),
        ]
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("analyze", overrides=[*settings, *overrides])
        return parse(AnalyzeConfig, composed, where="")

    return make


@pytest.fixture
def encoder_of():
    """The encoder of a configuration."""
    from harness.embedding.model import EmbeddingModel
    from harness.evaluation.encoder import build_encoder, with_published_settings

    def make(config):
        model = EmbeddingModel(config.model)
        return build_encoder(with_published_settings(config, model), model)

    return make


@pytest.fixture
def collection_of(encoder_of):
    """The judged collection of a configuration, under its encoder."""
    from harness.analysis.collections import judged_collections
    from harness.evaluation.tasks.resolve import resolve_tasks

    def make(config):
        tasks = resolve_tasks(config.tasks, cache_dir=Path(config.store_dir))
        (found,) = judged_collections(tasks, encoder_of(config), task_instructions={})
        return found

    return make
