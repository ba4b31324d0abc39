"""The batched probe, on a clock that the stages push forward."""

import numpy as np
import pytest

from harness.cost.batched import probe_batches
from tests.cost.clock import Clock


def batch_stage(clock, fixed, each, seen=None):
    """A stage of `fixed` + `each` nanoseconds a query."""

    def run(batch):
        clock.now += fixed + each * len(batch)
        if seen is not None:
            seen.append(list(batch))
        return batch

    return run


def test_raw_values_by_hand():
    clock = Clock()
    stages = {"tokenise": batch_stage(clock, 0, 2), "encode": batch_stage(clock, 100, 10)}
    records = probe_batches(
        stages, "abcde", batch_sizes=[1, 2, 5], warmup=1, repetitions=2, clock=clock
    )
    assert list(records) == [1, 2, 5]
    assert records[1].nanoseconds.tolist() == [[2, 110]] * 10
    assert records[2].nanoseconds.tolist() == [[4, 120], [4, 120], [2, 110]] * 2
    assert records[5].nanoseconds.tolist() == [[10, 150]] * 2
    assert records[2].nanoseconds.dtype == records[2].sizes.dtype == np.int64
    assert records[2].sizes.tolist() == [2, 2, 1] * 2
    assert (records[2].queries, records[2].warmup, records[2].stages) == (5, 1, tuple(stages))


def test_rates_count_every_batch_and_percentiles_full_ones():
    clock = Clock()
    stages = {
        "tokenise": batch_stage(clock, 0, 2_000_000),
        "encode": batch_stage(clock, 100_000_000, 10_000_000),
    }
    record = probe_batches(stages, "abcde", batch_sizes=[2], warmup=0, repetitions=3, clock=clock)[
        2
    ]
    assert record.per_batch.p50_ms == record.per_batch.mean_ms == 124.0
    # Two batches of two queries, three times.
    assert (record.per_batch.count, record.per_batch.independent) == (6, 2)
    assert record.per_batch_by_stage["tokenise"].mean_ms == 4.0
    assert record.per_batch_by_stage["encode"].mean_ms == 120.0
    # 124 + 124 + 112 ms for five queries.
    assert record.ms_per_query == pytest.approx(72.0)
    assert record.queries_per_second == pytest.approx(5 / 0.360)
    assert record.ms_per_query_by_stage == {
        "tokenise": pytest.approx(2.0),
        "encode": pytest.approx(70.0),
    }


def test_every_size_answers_the_same_queries_and_sizes_take_turns():
    clock = Clock()
    seen = []
    stages = {"encode": batch_stage(clock, 1, 1, seen)}
    probe_batches(stages, (1, 2, 3), batch_sizes=[1, 2, 3], warmup=2, repetitions=2, clock=clock)
    ones, twos, threes = [[1], [2], [3]], [[1, 2], [3]], [[1, 2, 3]]
    warm = [[1], [2], [1, 2], [3], [1, 2, 3], [1, 2, 3]]
    first, second = [*ones, *twos, *threes], [*twos, *threes, *ones]
    assert seen == [*warm, *first, *second]


def test_synchronises_before_every_reading_of_the_clock():
    events = []

    def clock():
        events.append("clock")
        return len(events)

    probe_batches(
        {"encode": lambda batch: events.append("run")},
        "ab",
        batch_sizes=[2],
        warmup=0,
        repetitions=2,
        synchronise=lambda: events.append("wait"),
        clock=clock,
    )
    assert events == ["wait", "clock", "run", "wait", "clock"] * 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"stages": {}}, "stage"),
        ({"queries": []}, "query"),
        ({"batch_sizes": []}, "some"),
        ({"batch_sizes": [1, 1]}, "different"),
        ({"batch_sizes": [1, 3]}, r"\[1, 2\]"),
        ({"batch_sizes": [0]}, r"\[1, 2\]"),
        ({"warmup": -1}, "warmup"),
        ({"repetitions": 0}, "repetitions"),
    ],
)
def test_nothing_to_measure_is_refused(change, why):
    settings = {
        "stages": {"a": list},
        "queries": "ab",
        "batch_sizes": [1],
        "warmup": 0,
        "repetitions": 1,
        **change,
    }
    stages, queries = settings.pop("stages"), settings.pop("queries")
    with pytest.raises(ValueError, match=why):
        probe_batches(stages, queries, **settings)
