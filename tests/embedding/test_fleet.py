"""Batches shared out among workers: whatever dies, every text is done once, in the same batches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.embedding.fleet import Fleet


def fleet_of(lengths, *, token_budget=8, packed=True, ahead=2):
    return Fleet(np.array(lengths, np.int64), token_budget=token_budget, packed=packed, ahead=ahead)


def given_out(fleet, workers):
    """Who is given which rows."""
    return [(worker, job.rows.tolist()) for worker, job in fleet.assign(workers)]


def batches_of_one(fleet):
    """The batches of a single worker that never dies, in order."""
    found = []
    while not fleet.is_done:
        for worker, job in list(fleet.assign([0])):
            found.append(job.rows.tolist())
            fleet.done(worker, job.number)
    return found


@given(
    data=st.data(),
    lengths=st.lists(st.integers(0, 30), max_size=50),
    workers=st.integers(1, 4),
    ahead=st.integers(1, 3),
    token_budget=st.integers(1, 80),
    packed=st.booleans(),
)
def test_every_text_is_done_once(data, lengths, workers, ahead, token_budget, packed):
    options = {"token_budget": token_budget, "packed": packed}
    fleet = fleet_of(lengths, ahead=ahead, **options)
    held = {worker: [] for worker in range(workers)}
    done, deaths = [], 0
    while not fleet.is_done:
        ready = data.draw(st.sets(st.sampled_from(range(workers)), min_size=1))
        for worker, job in fleet.assign(ready):
            assert worker in ready
            held[worker].append(job)
            assert len(held[worker]) <= ahead
        worker = data.draw(st.sampled_from([each for each in held if held[each]]))
        if deaths < 20 and data.draw(st.booleans()):
            deaths += 1
            assert fleet.lost(worker) is held[worker][0]
            held[worker].clear()
        else:
            job = held[worker].pop(0)
            assert fleet.done(worker, job.number) is job
            assert fleet.done(worker, job.number) is None  # an answer counts once
            done.append(job)
    assert sorted(row for job in done for row in job.rows.tolist()) == list(range(len(lengths)))
    in_order = [job.rows.tolist() for job in sorted(done, key=lambda job: job.number)]
    assert in_order == batches_of_one(fleet_of(lengths, **options))
    assert sum(job.deaths for job in done) == deaths


def test_batches_go_round_longest_first():
    fleet = fleet_of([4, 8, 4, 2, 6, 2])
    assert given_out(fleet, [0, 1]) == [(0, [1]), (1, [4]), (0, [0, 2]), (1, [3, 5])]
    assert given_out(fleet, [0, 1]) == []
    assert not fleet.is_done


def test_a_dead_workers_batches_come_first_and_in_order():
    fleet = fleet_of([8, 7, 6, 5, 4], ahead=2)
    assert given_out(fleet, [0]) == [(0, [0]), (0, [1])]
    first = fleet.lost(0)
    assert (first.rows.tolist(), first.deaths) == ([0], 1)
    assert given_out(fleet, [1]) == [(1, [0]), (1, [1])]
    assert fleet.lost(1) is first
    assert first.deaths == 2
    [*_, (worker, second)] = fleet.assign([2])
    assert (worker, second.rows.tolist(), second.deaths) == (2, [1], 0)
    assert fleet.lost(3) is None  # it had nothing


def test_an_answer_of_another_pass():
    before = fleet_of([3, 3])
    [(_, job)] = before.assign([0])
    fleet = fleet_of([3, 3])
    [(_, own)] = fleet.assign([0])
    assert fleet.done(0, job.number) is None
    assert fleet.done(1, own.number) is None
    assert not fleet.is_done
    assert fleet.done(0, own.number) is own
    assert fleet.is_done


def test_a_budget_is_lowered_for_what_is_not_yet_given_out():
    fleet = fleet_of([4] * 6, ahead=1)
    assert given_out(fleet, [0]) == [(0, [0, 1])]
    fleet.lower(4)
    fleet.lower(100)
    fleet.lost(0)
    assert given_out(fleet, [0, 1, 2]) == [(0, [0, 1]), (1, [2]), (2, [3])]


def test_nothing_to_do():
    fleet = fleet_of([])
    assert fleet.is_done
    assert given_out(fleet, [0]) == []
    assert given_out(fleet_of([1]), []) == []
