import json
from pathlib import Path

import pytest

DOCUMENTS = [
    ("cats", "Cats", "Cats purr when they are content and sleep most of the day."),
    ("dogs", "", "Dogs bark at strangers and guard the house at night."),
    ("rain", "Weather", "Rain falls from clouds when the air cools down quickly."),
    ("bread", "", "Bread is baked from flour, water, yeast and a little salt."),
    ("moon", "", "The moon circles the earth once in about four weeks."),
    ("piano", "", "A piano has eighty-eight keys and hammers that strike strings."),
]
QUERIES = [
    ("q1", "why does a cat purr", {"cats": 1}),
    ("q2", "how is bread made", {"bread": 2, "rain": 0}),
    ("q3", "how long does the moon take around the earth", {"moon": 1}),
    ("q4", "animals at night", {"dogs": 1, "cats": 1}),
]


def write_folder(folder: Path, documents=DOCUMENTS, queries=QUERIES) -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": i, "title": t, "text": x}) for i, t, x in documents]
    (folder / "corpus.jsonl").write_text("\n".join(corpus) + "\n")
    lines = [json.dumps({"_id": i, "text": x}) for i, x, _ in queries]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    rows = ["query-id\tcorpus-id\tscore"]
    rows += [f"{i}\t{d}\t{g}" for i, _, grades in queries for d, g in grades.items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def toy_folder(tmp_path):
    return write_folder(tmp_path / "toy")


@pytest.fixture
def settings(tmp_path, toy_folder):
    """Overrides of a quick MiniLM run on the toy collection, all folders in tmp_path."""
    return [
        "tasks=folder",
        f"tasks.path={toy_folder}",
        f"results_dir={tmp_path}/results",
        f"store_dir={tmp_path}/store",
        "cost=off",
        "backend.device=cpu",
    ]


@pytest.fixture
def run_config(settings):
    """Compose `harness run` with the quick settings and more overrides."""
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder
    from harness.config import RunConfig, parse

    def make(*overrides: str) -> RunConfig:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("run", overrides=[*settings, *overrides])
        return parse(RunConfig, composed, where="")

    return make
