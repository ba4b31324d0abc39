"""What does not fit in memory: the peak of a fresh process does not grow with the documents."""

import os

import pytest

from tests.benchmarks.fresh import fresh_call

LARGEST = int(os.environ.get("HARNESS_BENCH_SCALE", "100000"))
SIZES = [10**power for power in range(4, 10) if 10**power <= LARGEST]
A_DOCUMENT = 64  # bytes of it that may stay in memory: lengths, and where it is
SLACK = 192 << 20  # pages of mapped files that were not given back yet, and a range of the merge

pytestmark = pytest.mark.slow


@pytest.mark.benchmark(group="streamed")
@pytest.mark.parametrize("engine", ["sparse_files", "dense_files"], ids=["aligned sparse", "dense"])
def test_peak_memory_stays_flat(benchmark, engine):
    called = f"tests.benchmarks.streamed:{engine}"
    points = [fresh_call(called, documents)[0] for documents in SIZES[:-1]]
    points.append(benchmark.pedantic(lambda: fresh_call(called, SIZES[-1])[0]))
    benchmark.extra_info["streamed"] = points
    for point in points:
        assert point["peak_bytes"] - point["start_bytes"] < SLACK + (128 << 20)
    assert points[-1]["peak_bytes"] - points[0]["peak_bytes"] < SLACK


@pytest.mark.benchmark(group="streamed")
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8"])
def test_formats_take_no_more(benchmark, kind):
    called = "tests.benchmarks.streamed:dense_files"
    point = benchmark.pedantic(lambda: fresh_call(called, SIZES[-1], kind)[0])
    benchmark.extra_info["streamed"] = [point]
    share = {"float16": 0.5, "bfloat16": 0.5, "int8": 0.26}[kind]
    assert point["index_bytes"] <= share * SIZES[-1] * 1024 * 4
    assert point["peak_bytes"] - point["start_bytes"] < SLACK + (128 << 20)


@pytest.mark.benchmark(group="streamed")
def test_a_whole_run_stays_flat(benchmark):
    called = "tests.benchmarks.whole_run:whole_run"
    points = [fresh_call(called, documents)[0] for documents in SIZES[:-1]]
    points.append(benchmark.pedantic(lambda: fresh_call(called, SIZES[-1])[0]))
    benchmark.extra_info["whole_runs"] = points
    first, last = points[0], points[-1]
    grown = A_DOCUMENT * (last["documents"] - first["documents"])
    # Parts of 16,384 documents are not full at 10,000.
    assert last["anonymous_bytes"] - first["anonymous_bytes"] < 128 * 2**20 + grown
    assert last["peak_bytes"] - first["peak_bytes"] < SLACK + grown
