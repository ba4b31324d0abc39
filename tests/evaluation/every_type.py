"""A small folder of every type of task, and plain encoders to evaluate them with."""

import json
from pathlib import Path

import mteb
import numpy as np
import torch
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClusteringLegacy
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta

from harness.evaluation.tasks.folder import local_task

TOPICS = {
    "animals": [
        "The cat sleeps on the warm roof.",
        "A dog barks at the postman every morning.",
        "Owls hunt mice in the dark forest.",
        "The horse runs across the green field.",
        "Two whales swim along the cold coast.",
        "Bees carry pollen from flower to flower.",
        "A snake hides under the flat stone.",
    ],
    "cooking": [
        "Stir the onions until they turn golden.",
        "Bake the bread in a hot oven.",
        "She adds salt and pepper to the soup.",
        "Boil the eggs for seven minutes.",
        "The cook cuts fresh tomatoes for the salad.",
        "Melt the butter with sugar and flour.",
        "Grill the fish on both sides with lemon.",
    ],
    "music": [
        "The pianist plays a quiet sonata.",
        "A choir sings in the old church.",
        "He tunes the strings of his guitar.",
        "The drummer keeps a steady rhythm.",
        "Violins open the second movement.",
        "She writes songs about her home town.",
        "The band records its third album in a barn.",
    ],
    "space": [
        "The rocket leaves for the moon at dawn.",
        "Jupiter has dozens of small moons.",
        "A telescope photographs a distant galaxy.",
        "Astronauts repair the station in orbit.",
        "The comet returns every seventy years.",
        "Stars of this kind end as white dwarfs.",
        "The probe lands softly on the red planet.",
    ],
}
SENTENCES = [sentence for sentences in TOPICS.values() for sentence in sentences]
_LEARNT = 5  # sentences of each topic that a classifier learns from
_QUERIES = [
    ("animals that hunt at night", [2, 6], [0, 1, 9, 17, 24]),
    ("how to cook eggs", [10], [8, 9, 11, 12, 13]),
    ("music for the piano", [14], [15, 16, 18, 20, 27]),
    ("moons of the planets", [22, 21], [23, 24, 25, 26, 27]),
    ("sounds in the morning", [1, 21], [15, 17, 3, 20, 5]),
]


def _pairs() -> list[dict]:
    """Each sentence with one of its topic and one of the next topic."""
    rows = []
    for place in range(0, len(SENTENCES), 2):
        near = SENTENCES[(place + 1) % 7 + place // 7 * 7]
        far = SENTENCES[(place + 9) % len(SENTENCES)]
        rows.append({"sentence1": SENTENCES[place], "sentence2": near, "label": 1})
        rows.append({"sentence1": SENTENCES[place], "sentence2": far, "label": 0})
    return rows


def _labelled(key: str, value) -> dict[str, list[dict]]:
    """Lines of `train` and `test`, each with what `value` tells of its topic and text."""
    lines: dict[str, list[dict]] = {"train": [], "test": []}
    for topic, sentences in TOPICS.items():
        for place, text in enumerate(sentences):
            split = "train" if place < _LEARNT else "test"
            lines[split].append({"text": text, key: value(topic, text)})
    # A line that contradicts the others keeps scores from 1.
    lines["test"].append({"text": "The old cat sings songs.", key: value("space", "moon")})
    return lines


def _some_labels(topic: str, text: str) -> list[str]:
    return [topic, *(["the"] if text.startswith("The") else [])]


def _collection(*, instructions: bool = False, candidates: bool = False) -> dict:
    queries = [{"_id": f"q{n}", "text": text} for n, (text, _, _) in enumerate(_QUERIES)]
    if instructions:
        for query in queries:
            query["instruction"] = "Find sentences about living beings only."
    files = {
        "corpus": [
            {"_id": f"d{place:02}", "title": "", "text": text}
            for place, text in enumerate(SENTENCES)
        ],
        "queries": queries,
        "qrels": [
            (f"q{n}", f"d{place:02}", grade + 1)
            for n, (_, relevant, _) in enumerate(_QUERIES)
            for grade, place in enumerate(relevant)
        ],
    }
    if candidates:
        files["top_ranked/test"] = [
            {"query": f"q{n}", "documents": [f"d{p:02}" for p in (*others, *relevant)]}
            for n, (_, relevant, others) in enumerate(_QUERIES)
        ]
    return files


def _summaries() -> list[dict]:
    return [
        {
            "text": " ".join(sentences),
            "human_summaries": sentences[:2],
            "machine_summaries": [sentences[2], sentences[5], SENTENCES[0], sentences[0][:20]],
            "relevance": [3.0, 2.0, 1.5, 4.0 + shift],
        }
        for shift, sentences in enumerate(TOPICS.values())
    ]


FOLDERS = {
    "sts": {
        "test": [
            {"sentence1": row["sentence1"], "sentence2": row["sentence2"], "score": score}
            for row, score in zip(_pairs(), [5, 1, 4, 0.5, 3, 2, 4.5] * 4, strict=True)
        ]
    },
    "pairs": {"test": _pairs()},
    "bitext": {
        "test": [
            {"sentence1": text, "sentence2": SENTENCES[place ^ (place < 4)].split()[-1]}
            for place, text in enumerate(SENTENCES)
        ]
    },
    "classes": {
        **_labelled("label", lambda topic, _: topic),
        "task": {"samples_per_label": 3, "n_experiments": 3},
    },
    "labels": {
        **_labelled("labels", _some_labels),
        "task": {"samples_per_label": 3, "n_experiments": 3},
    },
    "values": {**_labelled("value", lambda _, text: len(text)), "task": {"n_experiments": 2}},
    "clusters": {
        "test": [{"text": text, "cluster": topic} for topic in TOPICS for text in TOPICS[topic]]
    },
    "levels": {
        "test": [
            {
                "text": text,
                "cluster": ["nature" if topic in ("animals", "space") else "culture", topic],
            }
            for topic in TOPICS
            for text in TOPICS[topic]
        ]
    },
    "summaries": {"test": _summaries()},
    "lists": {
        "test": [
            {
                "query": query,
                "positive": [SENTENCES[place] for place in relevant],
                "negative": [SENTENCES[place] for place in others],
            }
            for query, relevant, others in _QUERIES
        ]
    },
    "candidates": _collection(candidates=True),
    "instructed": _collection(instructions=True),
    "search": _collection(),
}
RANKED = ("lists", "candidates", "instructed", "search")
COMPARED = tuple(name for name in FOLDERS if name not in RANKED)
TYPES = {
    "sts": "STS",
    "pairs": "PairClassification",
    "bitext": "BitextMining",
    "classes": "Classification",
    "labels": "MultilabelClassification",
    "values": "Regression",
    "clusters": "Clustering",
    "levels": "Clustering",
    "summaries": "Summarization",
    "lists": "Reranking",
    "candidates": "Reranking",
    "instructed": "InstructionRetrieval",
    "search": "Retrieval",
}


def write_folder(folder: Path, files: dict) -> Path:
    """Write a task folder.

    Args:
        folder: Where; its name becomes the task's.
        files: Lines by the stem of a JSON lines file, qrels as (query, document, grade), and
            `task` as one object.
    """
    for name, content in files.items():
        path = folder / f"{name}.jsonl"
        text = "".join(json.dumps(line) + "\n" for line in content)
        if name == "task":
            path, text = folder / "task.json", json.dumps(content)
        elif name == "qrels":
            path = folder / "qrels" / "test.tsv"
            text = "query-id\tcorpus-id\tscore\n"
            text += "".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in content)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def task_of(base, name: str, task_type: str, dataset, *, languages=("eng-Latn",), **attributes):
    """A loaded task of a class of mteb's, for what no folder holds."""
    metadata = TaskMetadata(
        name=name,
        description=f"The task {name}.",
        dataset={"path": f"local/{name}", "revision": "1"},
        type=task_type,
        modalities=["text"],
        category="t2t",
        eval_splits=["test"],
        eval_langs=languages if isinstance(languages, dict) else list(languages),
        main_score=attributes.pop("main_score"),
    )
    task = type("Made", (base,), {"metadata": metadata, **attributes})()
    task.dataset = dataset
    task.data_loaded = True
    return task


def legacy_clustering():
    """mteb's first kind of clustering, which no folder holds: sets that are clustered apart."""
    topics = list(TOPICS.values())
    sets = {
        "sentences": [topics[0] + topics[1], topics[1] + topics[2] + topics[3]],
        "labels": [[0] * 7 + [1] * 7, [0] * 7 + [1] * 7 + [2] * 7],
    }
    return task_of(
        AbsTaskClusteringLegacy,
        "sets",
        "Clustering",
        DatasetDict(test=Dataset.from_dict(sets)),
        main_score="v_measure",
    )


def fresh_task(root: Path, name: str):
    """A task of `FOLDERS` under `root`, or the legacy clustering, not evaluated before."""
    return legacy_clustering() if name == "sets" else local_task(root / name)


class PlainEncoder:
    """Looks up a vector for each text; what mteb asks of an encoder and nothing else."""

    mteb_model_meta = ModelMeta.create_empty({"name": "tests/plain"})

    def __init__(self, vector_of, *, dot: bool = False):
        self._vector_of = vector_of
        self._dot = dot

    def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **_):
        texts = [text for batch in inputs for text in batch["text"]]
        return np.stack([self._vector_of(text, prompt_type) for text in texts])

    def similarity(self, one, other):
        one, other = self._compared(one), self._compared(other)
        return torch.as_tensor(one @ other.T)

    def similarity_pairwise(self, one, other):
        one, other = self._compared(one), self._compared(other)
        return torch.as_tensor((one * other).sum(axis=1))

    def _compared(self, vectors):
        vectors = np.atleast_2d(np.asarray(vectors, np.float32))
        if self._dot:
            return vectors
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def plain_scores(encoder, task) -> dict:
    """mteb's scores of its only split and subset."""
    result = mteb.evaluate(
        encoder, task, cache=None, co2_tracker=False, show_progress_bar=False
    ).task_results[0]
    (scores,) = result.scores["test"]
    return scores
