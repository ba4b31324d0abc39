"""The embedder that comes with the package, as its card describes it."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from safetensors import safe_open

import harness
from harness.cli import config_folder
from harness.config import RunConfig, parse
from harness.evaluation.tasks.pydoc_corpus import build_collection

FOLDER = Path(harness.__file__).parent / "models" / "pydoc_llama"
CARD = (FOLDER / "README.md").read_text()
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|Python Software Foundation|PSF|HPND|Zope|ZPL|Unlicense|CC0|0BSD|Zlib", re.I
)


def test_size_and_precision():
    files = [file for file in FOLDER.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 24_000_000
    with safe_open(FOLDER / "model.safetensors", framework="np") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    assert kinds == {"F16"}


def test_the_card_names_these_weights():
    digest = hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()
    assert digest in CARD


def test_it_was_trained_on_the_corpus_that_is_listed():
    corpus = json.loads((FOLDER / "corpus.json").read_text())
    record = json.loads((FOLDER / "training.json").read_text())
    assert record["identity"]["data"]["pairs"] == corpus["sha256"]["pairs.jsonl"][:16]
    assert all(PERMISSIVE.search(one["licence"]) for one in corpus["packages"].values())
    assert not set(corpus["packages"]) & set(sys.stdlib_module_names)
    named = Path(config_folder() / "train" / "packages.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in named if line and not line.startswith("#"))
    listed = {name: one["version"] for name, one in corpus["packages"].items()}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in pinned} == set(listed)
    assert sorted(pinned.values()) == sorted(listed.values())


def test_it_needs_no_setting():
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        settings = compose("run", overrides=["model=pydoc_llama"])
    config = parse(RunConfig, settings, where="")
    assert (config.pooling.kind, config.head.kind) == ("mean", "lm_head")
    assert config.model.attention == "bidirectional"


def test_a_text_aligns_to_its_own_words(tmp_path):
    text = "Compress a file with gzip and write the archive to a temporary directory."
    command = [sys.executable, "-m", "harness", "inspect", "model=pydoc_llama", f"text={text}"]
    command += ["format=json", f"store_dir={tmp_path}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    aligned = {one["token"].strip("␣ ") for one in json.loads(shown)["aligned"]}
    assert {"file", "directory", "archive"} <= aligned


def test_the_card_and_the_readme_say_what_the_analysis_of_the_stages_found():
    root = FOLDER.parents[2]
    tables = root / "results" / "pydoc_llama_stages"
    modes = pd.read_parquet(tables / "stages-modes.parquet")
    final = modes[modes["stage"] == "supervised"].set_index("mode")
    names = {
        "dense": "dense",
        "aligned_sparse": "aligned_sparse_m0",
        "aligned_sparse, M = 16": "aligned_sparse_m16",
        "aligned_sparse, M = 32": "aligned_sparse_m32",
        "hybrid": "hybrid",
        "bm25": "bm25",
    }
    for written, mode in names.items():
        found = final.loc[mode]
        row = f"| {written} | {found['ndcg']:.4f} | "
        row += "100 %" if mode == "dense" else f"{100 * found['share']:.1f} %"
        if written.startswith("aligned"):
            row += f" [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
        assert f"{row} |" in CARD
    stages = pd.read_parquet(tables / "stages.parquet").set_index("stage")
    dense = pd.read_parquet(tables / "stages-dense.parquet").set_index(["stage", "attention"])
    lines = (root / "README.md").read_text().splitlines()
    for stage, found in stages.iterrows():
        attention = found["attention"]
        start = f"    {stage}, {attention}"
        (line,) = (line for line in lines if line.startswith(start))
        own = dense.loc[(stage, attention)].set_index("pooling")["ndcg"]
        told = [own["eos"], own["mean"], own["weighted_mean"], found["hit"], found["lar"]]
        told += [found["v_1"], *(100 * found[f"sparse_m{m}"] for m in (0, 16, 32))]
        told += [found["hybrid"] * found["dense"]]
        shown = [float(one) for one in re.findall(r"-?\d*\.?\d+", line)]
        roundings = (5e-5, 5e-5, 5e-5, 5e-4, 5e-4, 0.05, 0.5, 0.5, 0.5, 5e-4)
        assert len(shown) == len(told)
        for one, other, most in zip(shown, told, roundings, strict=True):
            assert abs(one - other) <= most * 1.001, (stage, one, other)


def test_the_card_says_what_other_temperatures_gave():
    tables = FOLDER.parents[2] / "results"
    found = [
        pd.read_parquet(tables / f"pydoc_llama_{name}" / "stages-modes.parquet")
        for name in ("temperature", "held_out")
    ]
    models = sorted(set(found[0]["stage"]))
    assert len(models) == 7
    for model in models:
        told = []
        for table in found:
            own = table[table["stage"] == model].set_index("mode")
            told.append(f"{own.loc['dense', 'ndcg']:.4f}".lstrip("0"))
            told += [f"{100 * own.loc[f'aligned_sparse_m{m}', 'share']:.1f} %" for m in (0, 16, 32)]
        (line,) = (line for line in CARD.splitlines() if f"| `{model}` |" in line)
        assert line.endswith(f" | {' | '.join(told)} |")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modes", "settings"),
    [
        (("dense", "aligned_sparse", "hybrid"), ()),
        *(
            ((f"aligned_sparse, M = {m}",), (f"retrieval.aligned_sparse.query_expansion={m}",))
            for m in (16, 32)
        ),
    ],
)
def test_the_scores_of_the_card(tmp_path, modes, settings):
    """On the interpreter that the card was written with, within what bf16 and cores change."""
    documents = build_collection().documents
    if hashlib.sha256(json.dumps(documents).encode()).hexdigest()[:16] not in CARD:
        pytest.skip("the card's scores are of another Python's documentation")
    command = [sys.executable, "-m", "harness", "run", "model=pydoc_llama", "format=json"]
    command += ["cost=off", f"store_dir={tmp_path}/store", f"results_dir={tmp_path}/results"]
    command += settings
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in printed.splitlines()]
    found = {row["mode"]: row["value"] for row in rows if row["metric"] == "ndcg_at_10"}
    for mode in modes:
        written = re.search(rf"\| {mode} \| ([0-9.]+)", CARD)
        assert written is not None
        np.testing.assert_allclose(found[mode.split(",")[0]], float(written[1]), atol=0.002)
