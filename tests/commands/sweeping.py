"""Sweeps that several tests look at from outside."""

import json
from importlib.util import find_spec

import pytest

B7 = "retrieval.bm25.b=7.0 must lie between 0 and 1"
NO_DATA = (
    "no data for SCIDOCS (mteb/scidocs): set HF_ENDPOINT to a mirror, or HF_HOME to a cache that "
    "has them, or give folders with tasks=folder tasks.path=[DIR,…]; run all the same: toy"
)


def last_lines(lines):
    """The summary at the end, each job without the overrides that all have."""
    start = next(n for n, line in enumerate(lines) if line.startswith("harness: the sweep left"))
    title, *rest = lines[start:]
    assert all(line.startswith("  tasks=folder ") for line in rest)
    return title, [line.partition("/store ")[2] for line in rest]


def objects(output):
    return [json.loads(line) for line in output.splitlines()]


def sweep_folder(tmp_path):
    (folder,) = (tmp_path / ".harness" / "sweeps").iterdir()
    return folder


def everything(tmp_path):
    return sorted(path for path in tmp_path.rglob("*"))


def needs(plugin):
    return pytest.mark.skipif(
        find_spec(f"hydra_plugins.{plugin}") is None,
        reason=f"{plugin}, of the extra `sweep`, is not installed",
    )
