"""Compiled functions with and without a folder to keep them in, and the two instructions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from harness.retrieval.compiled import compiled, lowest_bit, prefetch


def test_a_function_without_a_file_to_keep_it_beside_is_compiled_all_the_same():
    space = {}
    exec("def double(x):\n    return 2 * x", space)
    assert compiled(space["double"])(21) == 42


def test_the_place_of_the_lowest_one():
    @compiled
    def places(masks, found):
        for number in range(len(masks)):
            found[number] = lowest_bit(masks[number])

    masks = np.array([1, 2, 12, 1 << 40, 1 << 63, 2**64 - 1], np.uint64)
    found = np.zeros(len(masks), np.int64)
    places(masks, found)
    assert found.tolist() == [0, 1, 2, 40, 63, 0]


def test_what_is_fetched_early_stays_as_it_is():
    @compiled
    def fetch(values):
        for place in range(len(values)):
            prefetch(values, place)
        return values.sum()

    assert fetch(np.arange(10.0)) == 45.0


def test_the_next_process_takes_what_the_last_one_compiled(tmp_path):
    (tmp_path / "once.py").write_text(
        "from harness.retrieval.compiled import compiled\n"
        "@compiled\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "double(1)\n"
        "print(sum(double.stats.cache_hits.values()), sum(double.stats.cache_misses.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = [
        subprocess.run(
            [sys.executable, str(tmp_path / "once.py")],
            env=environment | {"PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["0", "1"], ["1", "0"]]
