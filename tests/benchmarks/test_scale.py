"""What indexing and a query cost as a collection grows, on one thread."""

import os

import pytest

from tests.benchmarks.fresh import fresh_call

LARGEST = int(os.environ.get("HARNESS_BENCH_SCALE", "100000"))
SIZES = [10**power for power in range(3, 10) if 10**power <= LARGEST]

pytestmark = pytest.mark.slow


@pytest.mark.benchmark(group="scale")
@pytest.mark.parametrize("documents", SIZES)
@pytest.mark.parametrize("engine", ["sparse", "dense"])
def test_scale(benchmark, engine, documents):
    called = f"tests.benchmarks.scale:{engine}"
    point, _ = benchmark.pedantic(fresh_call, (called, documents), {"threads": 1})
    assert point["index_bytes"] <= point["peak_bytes"]
    benchmark.extra_info["scale"] = point
