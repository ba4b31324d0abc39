"""The latency probe, with fake stages and a fake clock."""

import gc

import numpy as np
import pytest

from harness.cost.latency import probe
from tests.cost.clock import Clock


def stage(clock, nanoseconds, change=lambda value: value):
    def run(value):
        clock.now += nanoseconds(value) if callable(nanoseconds) else nanoseconds
        return change(value)

    return run


def test_raw_values_by_hand():
    clock = Clock()
    stages = {"tokenise": stage(clock, 5), "encode": stage(clock, lambda query: query)}
    record = probe(stages, [100, 200], warmup=0, repetitions=2, clock=clock)
    assert record.stages == ("tokenise", "encode")
    assert record.nanoseconds.dtype == np.int64
    assert record.nanoseconds.tolist() == [[5, 100], [5, 200], [5, 100], [5, 200]]
    assert record.cold_nanoseconds.tolist() == [5, 100]
    assert record.cold_ms == pytest.approx(105e-6)
    assert (record.queries, record.warmup) == (2, 0)


def test_the_cold_query_and_the_warm_up_are_not_measured():
    clock = Clock()
    seen = []

    def encode(query):
        clock.now += 1_000_000 if not seen else 10
        seen.append(query)

    record = probe({"encode": encode}, ["a", "b"], warmup=3, repetitions=1, clock=clock)
    assert seen == ["a", *("a", "b", "a"), *("a", "b")]
    assert record.cold_ms == 1.0
    assert record.nanoseconds.tolist() == [[10], [10]]


def test_each_stage_gets_what_the_one_before_returned():
    results = []
    stages = {
        "split": str.split,
        "count": len,
        "keep": results.append,
    }
    probe(stages, ["a b", "a b c"], warmup=0, repetitions=1)
    assert results == [2, 2, 3]


def test_summaries_are_numpys_percentiles_of_the_raw_values():
    random = np.random.default_rng(0)
    clock = Clock()
    durations = random.integers(1, 10**7, size=37).tolist()
    stages = {"double": stage(clock, lambda n: 2 * n), "single": stage(clock, lambda n: n)}
    record = probe(stages, durations, warmup=1, repetitions=3, clock=clock)

    expected = {
        "total": (record.nanoseconds.sum(axis=1), record.total),
        "double": (record.nanoseconds[:, 0], record.by_stage["double"]),
        "single": (record.nanoseconds[:, 1], record.by_stage["single"]),
    }
    for raw, summary in expected.values():
        assert summary.count == 37 * 3
        assert summary.mean_ms == pytest.approx(np.mean(raw) / 1e6)
        assert summary.p50_ms == pytest.approx(np.percentile(raw, 50) / 1e6)
        assert summary.p95_ms == pytest.approx(np.percentile(raw, 95) / 1e6)
        assert summary.p99_ms == pytest.approx(np.percentile(raw, 99) / 1e6)
    assert list(record.by_stage) == ["double", "single"]


def test_percentiles_by_hand():
    clock = Clock()
    milliseconds = [1, 2, 3, 4, 5]
    stages = {"encode": stage(clock, lambda ms: ms * 1_000_000)}
    total = probe(stages, milliseconds, warmup=0, repetitions=1, clock=clock).total
    # Rank p/100 * (5 - 1): p95 at 3.8, so 4 + 0.8 * (5 - 4); p99 at 3.96.
    assert (total.mean_ms, total.p50_ms) == (3.0, 3.0)
    assert (total.p95_ms, total.p99_ms) == (pytest.approx(4.8), pytest.approx(4.96))


def test_synchronises_before_every_reading_of_the_clock():
    events = []

    def clock():
        events.append("clock")
        return len(events)

    def run(query):
        events.append(query)
        return query

    stages = {"encode": run, "search": run}
    probe(
        stages,
        ["q"],
        warmup=1,
        repetitions=2,
        synchronise=lambda: events.append("wait"),
        clock=clock,
    )
    one = ["wait", "clock", "q", "wait", "clock", "q", "wait", "clock"]
    assert events == one * (1 + 1 + 2)


def test_real_clock_gives_positive_durations():
    record = probe({"sum": sum}, [range(1000)] * 3, warmup=1, repetitions=2)
    assert record.nanoseconds.shape == (6, 1)
    assert np.all(record.nanoseconds > 0)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_garbage_collector_is_off_meanwhile_and_restored(enabled, fails):
    states = []

    def run(query):
        states.append(gc.isenabled())
        if fails and len(states) == 2:
            raise RuntimeError("stage failed")

    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        if fails:
            with pytest.raises(RuntimeError, match="stage failed"):
                probe({"run": run}, [1], warmup=0, repetitions=3)
        else:
            probe({"run": run}, [1], warmup=0, repetitions=3)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
    assert not any(states)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stages": {}}, "stage"),
        ({"queries": []}, "query"),
        ({"warmup": -1}, "warmup"),
        ({"repetitions": 0}, "repetitions"),
    ],
)
def test_nothing_to_measure_is_refused(change, why):
    settings = {"stages": {"a": str}, "queries": ["q"], "warmup": 0, "repetitions": 1, **change}
    stages, queries = settings.pop("stages"), settings.pop("queries")
    with pytest.raises(ValueError, match=why):
        probe(stages, queries, **settings)


def test_queries_after_between_are_reported_apart():
    clock = Clock()
    cached = set()

    def search(query):
        clock.now += 10 if cached else 70
        cached.add(query)
        return query

    def between():
        clock.now += 10**9
        cached.clear()

    stages = {"encode": stage(clock, 5), "search": search}
    queries = ["a", "b", "c"]
    plain = probe(stages, queries, warmup=1, repetitions=2, clock=clock)
    assert plain.evicted_nanoseconds is None
    assert (plain.evicted, plain.evicted_by_stage) == (None, None)

    record = probe(stages, queries, warmup=1, repetitions=2, between=between, clock=clock)
    assert record.nanoseconds.tolist() == [[5, 10]] * 6
    assert record.evicted_nanoseconds.tolist() == [[5, 70]] * 3
    assert record.evicted.p50_ms == pytest.approx(75e-6)
    assert record.evicted.count == 3
    assert record.evicted_by_stage["search"].p50_ms == pytest.approx(70e-6)


def test_between_is_called_before_the_device_is_waited_for():
    events = []

    def clock():
        events.append("clock")
        return len(events)

    probe(
        {"run": events.append},
        ["q"],
        warmup=0,
        repetitions=1,
        synchronise=lambda: events.append("wait"),
        between=lambda: events.append("between"),
        clock=clock,
    )
    one = ["wait", "clock", "q", "wait", "clock"]
    assert events == [*one, *one, "between", *one]


def test_intervals_count_queries_and_not_their_repetitions():
    clock = Clock()
    queries = list(range(1, 11))
    stages = {"encode": stage(clock, lambda ms: ms * 1_000_000)}
    total = probe(stages, queries, warmup=0, repetitions=50, clock=clock).total
    assert (total.count, total.independent) == (500, 10)
    # As of ten values (see test_summary.py), though 500 would give an upper bound of p99.
    assert total.p50_interval_ms == (2.0, 9.0)
    assert total.p99_interval_ms == (9.0, None)
