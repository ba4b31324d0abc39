"""Temporary files that killed writers leave do not pile up."""

import os
import time

import numpy as np
import pytest

from harness.embedding.store import EmbeddingStore, text_keys
from harness.files import remove_leftovers
from tests.faults.runs import REPORT

DAY = 86_400


def left(folder, name, age):
    """An unfinished file of a writer that was killed so many seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.mark.parametrize(("older_than", "remains"), [(0.0, []), (3600.0, [".b.x2.tmp"])])
def test_those_of_an_age_are_removed_and_nothing_else(tmp_path, older_than, remains):
    left(tmp_path, ".a.x1.tmp", 7200)
    left(tmp_path, ".b.x2.tmp", 60)
    others = {"a.tmp", ".hidden", "whole.json"}
    for name in others:
        left(tmp_path, name, 7200)
    remove_leftovers(tmp_path, older_than=older_than)
    assert {path.name for path in tmp_path.iterdir()} == {*others, *remains}
    remove_leftovers(tmp_path / "not there")


def test_a_store_removes_those_of_yesterday(tmp_path):
    """What another process may still be writing stays."""
    store = EmbeddingStore(tmp_path, {"of": "texts"}, label="any")
    old = left(store.folder, ".shard-dead.safetensors.x1.tmp", DAY + 60)
    new = left(store.folder, ".shard-live.safetensors.x2.tmp", 60)
    store.add(text_keys(["a"]), np.ones((1, 2), np.float32), np.ones(1, np.int64))
    assert not old.exists()
    assert new.exists()


def test_a_report_removes_those_of_yesterday(zygote, undisturbed, tmp_path):
    """Another report may be writing the younger ones."""
    folder = tmp_path / "run"
    zygote.finish(folder, [*undisturbed.command, "retrieval=[bm25]"])
    places = [folder / "leaderboards", folder / "leaderboards" / "runs"]
    old = [left(place, ".shares.svg.x1.tmp", DAY + 60) for place in places]
    new = [left(place, ".index.html.x2.tmp", 60) for place in places]
    zygote.finish(folder, REPORT)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new)


@pytest.mark.slow
def test_a_result_that_is_computed_again_removes_its_own(zygote, undisturbed, tmp_path):
    from tests.faults.runs import finished, lasting

    zygote.finish(tmp_path / "run", undisturbed.command)
    whole = finished(tmp_path / "run")["bm25"]
    whole.unlink()
    half = left(whole.with_suffix(""), ".rankings.parquet.x1.tmp", 1)
    zygote.finish(tmp_path / "run", undisturbed.command)
    assert not half.exists()
    assert lasting(tmp_path / "run") == undisturbed.results
