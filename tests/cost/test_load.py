"""The closed loop: records by hand, and callables that sleep, alone or one at a time."""

import gc
import threading
import time
from collections import Counter

import numpy as np
import pytest

from harness.cost.load import LoadRecord, closed_loop

SECOND = 1_000_000_000


def record(*rows, clients):
    """A record of (client, query, sent, answered)."""
    client, query, sent, answered = np.array(rows, dtype=np.int64).T
    return LoadRecord(
        clients=clients, client=client, query=query, sent=sent, answered=answered, complete=True
    )


def test_steady_phase_by_hand():
    load = record(
        *((0, 0, 0, 10), (0, 2, 10, 20), (0, 4, 20, 30)),
        *((1, 1, 5, 25), (1, 3, 25, 45)),
        clients=2,
    )
    # Client 1 begins at 5, client 0 has its last answer at 30.
    assert load.steady == (5, 30)
    # Half of the first, two whole, and of client 1 one whole and 5 of 20.
    assert load.queries_per_second == pytest.approx((0.5 + 2 + 1 + 0.25) / 25 * SECOND)
    # The first was sent before; the last counts with all its 20 ns, though not answered within.
    assert load.latency.count == load.latency.independent == 4
    assert load.latency.mean_ms == pytest.approx((10 + 10 + 20 + 20) / 4 * 1e-6)


def test_one_client_is_steady_from_its_first_query_to_its_last_answer():
    load = record((0, 0, 100, 110), (0, 1, 110, 140), (0, 0, 140, 150), clients=1)
    assert load.steady == (100, 150)
    assert load.queries_per_second == pytest.approx(3 / 50 * SECOND)
    assert (load.latency.count, load.latency.independent) == (3, 2)


def test_clients_that_never_overlapped_have_no_steady_phase():
    load = record((0, 0, 0, 10), (1, 1, 20, 30), clients=2)
    assert (load.steady, load.queries_per_second, load.latency) == (None, None, None)


def test_a_query_that_took_no_time_counts_where_it_is_within():
    load = record((0, 0, 0, 10), (0, 1, 10, 10), (1, 2, 2, 8), (1, 3, 12, 12), clients=2)
    assert load.steady == (2, 10)
    assert load.queries_per_second == pytest.approx((0.8 + 1 + 1 + 0) / 8 * SECOND)


def test_one_client_on_a_clock_by_hand():
    now, seen = [0], []

    def answer(query):
        seen.append(query)
        now[0] += query

    load = closed_loop(
        answer,
        [3, 5],
        clients=[1],
        warmup=3,
        repetitions=2,
        limit_seconds=1,
        clock=lambda: now[0],
    )[1]
    assert seen == [*(3, 5, 3), *(3, 5, 3, 5)]
    assert load.query.tolist() == [0, 1, 0, 1]
    assert load.sent.tolist() == [11, 14, 19, 22]
    assert load.answered.tolist() == [14, 19, 22, 27]
    assert load.complete
    assert load.queries_per_second == pytest.approx(4 / 16 * SECOND)


@pytest.mark.parametrize("clients", [1, 2, 3, 7])
def test_each_query_is_answered_as_often_as_asked_by_the_client_it_belongs_to(clients):
    answered = Counter()
    threads = {}

    def answer(query):
        answered[query] += 1
        threads.setdefault(query % clients, set()).add(threading.get_ident())

    queries = range(7)
    load = closed_loop(
        answer, queries, clients=[clients], warmup=2, repetitions=3, limit_seconds=60
    )[clients]
    assert Counter(load.query.tolist()) == dict.fromkeys(queries, 3)
    assert (load.query % clients == load.client).all()
    assert (np.diff(load.client) >= 0).all()
    assert sum(answered.values()) == 7 * 3 + 2 * clients
    # One thread a client, and another one for each.
    assert len(set.union(*threads.values())) == clients
    assert all(len(own) == 1 for own in threads.values())


def rates(answer, clients=(1, 4)):
    loads = closed_loop(
        answer, range(40), clients=clients, warmup=1, repetitions=1, limit_seconds=60
    )
    assert all(load.complete for load in loads.values())
    return {number: load.queries_per_second for number, load in loads.items()}


def test_throughput_grows_with_clients_that_do_not_wait_for_each_other():
    rate = rates(lambda query: time.sleep(0.01))
    assert 2.5 < rate[4] / rate[1] < 8


def test_throughput_stays_where_a_lock_lets_one_answer_at_a_time():
    lock = threading.Lock()

    def answer(query):
        with lock:
            time.sleep(0.01)

    rate = rates(answer)
    assert 0.4 < rate[4] / rate[1] < 2


def test_clients_wait_for_each_other_before_they_begin():
    warm = {}

    def answer(query):
        if threading.get_ident() not in warm:
            time.sleep(0.01 * query)
            warm[threading.get_ident()] = time.perf_counter_ns()

    load = closed_loop(answer, range(4), clients=[4], warmup=1, repetitions=1, limit_seconds=60)[4]
    assert load.sent.min() >= max(warm.values())


def test_an_exception_in_one_client_ends_all_and_is_raised():
    answered = Counter()

    def answer(query):
        answered[query] += 1
        if query == 1 and answered[1] == 3:
            raise RuntimeError("query 1 failed")
        time.sleep(0.001)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="query 1 failed"):
        closed_loop(answer, range(3), clients=[3], warmup=0, repetitions=100_000, limit_seconds=60)
    assert threading.active_count() == before
    assert sum(answered.values()) < 1000


def test_an_exception_in_a_warm_up_does_not_leave_the_others_waiting():
    def answer(query):
        if query == 1:
            raise RuntimeError("query 1 failed")

    with pytest.raises(RuntimeError, match="query 1 failed"):
        closed_loop(answer, range(3), clients=[3], warmup=1, repetitions=1, limit_seconds=60)


def test_time_that_is_up_ends_each_client_after_one_query_at_least():
    load = closed_loop(
        lambda query: time.sleep(0.01),
        range(6),
        clients=[2],
        warmup=0,
        repetitions=1000,
        limit_seconds=1e-6,
    )[2]
    assert not load.complete
    assert load.query.tolist() == [0, 1]


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collector_is_off_meanwhile_and_restored(enabled):
    states = []
    was_enabled = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        closed_loop(
            lambda query: states.append(gc.isenabled()),
            range(2),
            clients=[2],
            warmup=0,
            repetitions=1,
            limit_seconds=60,
        )
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
    assert states == [False, False]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"queries": []}, "query"),
        ({"clients": []}, "some"),
        ({"clients": [2, 2]}, "different"),
        ({"clients": [1, 3]}, r"\[1, 2\]"),
        ({"clients": [0]}, r"\[1, 2\]"),
        ({"warmup": -1}, "warmup"),
        ({"repetitions": 0}, "repetitions"),
        ({"limit_seconds": 0}, "limit_seconds"),
        ({"limit_seconds": float("nan")}, "limit_seconds"),
    ],
)
def test_nothing_to_measure_is_refused(change, why):
    settings = {
        "queries": "ab",
        "clients": [1],
        "warmup": 0,
        "repetitions": 1,
        "limit_seconds": 1,
        **change,
    }
    with pytest.raises(ValueError, match=why):
        closed_loop(str, settings.pop("queries"), **settings)
