"""Which tokens are hidden, and how: shares by counting, the rest by what may never happen."""

import numpy as np
import pytest

from harness.training.masking import mask_tokens

MASK = 3
IDS = np.random.default_rng(0).integers(4, 10_000, (400, 500))
EVERY = np.ones(IDS.shape, bool)


def masked(*, maskable=EVERY, probability=0.2, hidden=0.8, random=0.1, seed=1):
    return mask_tokens(
        IDS,
        maskable,
        probability=probability,
        hidden=hidden,
        random=random,
        mask_id=MASK,
        vocabulary=10_000,
        generator=np.random.default_rng(seed),
    )


def test_shares():
    read, chosen = masked()
    assert chosen.mean() == pytest.approx(0.2, abs=0.005)
    assert (read[chosen] == MASK).mean() == pytest.approx(0.8, abs=0.01)
    changed = (read != IDS) & (read != MASK)
    assert changed[chosen].mean() == pytest.approx(0.1, abs=0.01)
    assert (read == IDS)[chosen].mean() == pytest.approx(0.1, abs=0.01)


def test_shares_of_their_own():
    read, chosen = masked(hidden=0.5, random=0.0)
    assert (read[chosen] == MASK).mean() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(read[read != MASK], IDS[read != MASK])


def test_random_tokens_are_of_the_whole_vocabulary():
    read, chosen = masked(probability=0.9)
    drawn = read[chosen & (read != IDS) & (read != MASK)]
    assert drawn.min() < 10
    assert drawn.max() > 9_990
    assert drawn.mean() == pytest.approx(5_000, rel=0.05)


def test_what_is_not_chosen_is_read_as_it_is():
    read, chosen = masked()
    assert np.array_equal(read[~chosen], IDS[~chosen])


def test_what_may_not_be_chosen_never_is():
    maskable = np.random.default_rng(3).random(IDS.shape) < 0.5
    read, chosen = masked(maskable=maskable, probability=0.999)
    assert not chosen[~maskable].any()
    assert np.array_equal(read[~maskable], IDS[~maskable])
    assert chosen[maskable].mean() > 0.99


def test_the_generator_decides_all():
    for one, other in zip(masked(), masked(), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(masked()[1], masked(seed=2)[1])
