"""Learning rates by hand; batches by what they must hold."""

import numpy as np
import pytest

from harness.training.schedule import batches_of_pairs, batches_of_texts, learning_rate


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.001),  # the rise takes 2 of 10 steps
        (1, 0.002),
        (2, 0.002),  # half a cosine over the other 8
        (4, 0.0017071068),
        (6, 0.001),
        (9, 0.0000761205),
    ],
)
def test_learning_rate(step, expected):
    found = learning_rate(step, steps=10, peak=0.002, warmup=0.2)
    assert found == pytest.approx(expected, rel=1e-6)


def test_learning_rate_without_a_rise():
    found = [learning_rate(step, steps=3, peak=1.0, warmup=0.0) for step in range(3)]
    assert found == pytest.approx([1.0, 1.0, 0.5])
    assert learning_rate(0, steps=1, peak=1.0, warmup=0.05) == 1.0


LENGTHS = np.random.default_rng(0).integers(1, 60, 500)


def texts(*, lengths=LENGTHS, token_budget=100, epochs=1.0, seed=0):
    return batches_of_texts(lengths, token_budget=token_budget, epochs=epochs, seed=seed)


def test_every_text_once_an_epoch():
    assert sorted(np.concatenate(texts())) == list(range(500))
    assert sorted(np.concatenate(texts(epochs=2))) == sorted([*range(500)] * 2)


def test_a_part_of_an_epoch_reads_a_part():
    once_and_a_half = np.concatenate(texts(epochs=1.5))
    counts = np.bincount(once_and_a_half, minlength=500)
    assert (counts.min(), counts.max(), counts.sum()) == (1, 2, 750)
    assert len(np.unique(np.concatenate(texts(epochs=0.1)))) == 50


def test_the_budget_is_kept_padding_included():
    batches = texts()
    assert all(LENGTHS[batch].max() * len(batch) <= 100 for batch in batches)
    full = LENGTHS.sum() / 100
    assert full <= len(batches) <= 1.5 * full  # like lengths go together


def test_a_text_above_the_budget_has_a_batch_of_its_own():
    batches = texts(lengths=np.array([3, 200, 3]))
    assert sorted(sorted(batch) for batch in batches) == [[0, 2], [1]]


def test_the_seed_decides_the_order():
    first, again, other = texts(), texts(), texts(seed=1)
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in again]
    assert np.concatenate(first).tolist() != np.concatenate(other).tolist()
    lengths = [int(LENGTHS[batch].max()) for batch in first]
    assert lengths != sorted(lengths, reverse=True)
    assert len(texts(lengths=LENGTHS[:0])) == 0


def pairs(count, *, size=8, epochs=1.0, seed=0):
    return batches_of_pairs(count, size=size, epochs=epochs, seed=seed)


def test_batches_of_pairs_have_one_size():
    batches = pairs(35)
    assert [len(batch) for batch in batches] == [8, 8, 8, 8]
    assert len(np.unique(np.concatenate(batches))) == 32
    assert [len(batch) for batch in pairs(5)] == [5]
    assert pairs(0) == []
    assert pairs(1) == []  # there is nothing to tell it from


def test_epochs_of_pairs():
    assert len(pairs(35, epochs=2.5)) == 10
    assert len(pairs(35, epochs=0.3)) == 1
    second = pairs(32, epochs=2)[4:]
    assert sorted(np.concatenate(second)) == list(range(32))
    assert np.concatenate(second).tolist() != np.concatenate(pairs(32)).tolist()


def test_the_seed_decides_the_order_of_pairs():
    one, again, other = (np.concatenate(pairs(40, seed=seed)).tolist() for seed in (3, 3, 4))
    assert one == again
    assert one != other
