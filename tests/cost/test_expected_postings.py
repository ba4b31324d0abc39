"""Expected postings: by hand, and against texts that are drawn by the same laws."""

import numpy as np
import pytest

from harness.cost.expected_postings import uniform_shared_terms, zipf_shared_terms, zipf_shares


def test_uniform_by_hand():
    # Each of 3 terms is in 256 of 1024 documents' places: 3/4 in common.
    assert uniform_shared_terms(3, 256, 1024) == 0.75
    assert uniform_shared_terms(3, 2048, 1024) == 3


def test_without_steepness_zipf_is_uniform():
    assert zipf_shares(3, 12, 0.0) == pytest.approx(np.full(12, 0.25))
    assert zipf_shared_terms(4, 3, 12, 0.0) == pytest.approx(4 * 3 / 12)


def test_two_terms_by_hand():
    # 1 - e^-c and 1 - e^(-c/2) add up to 1 where x = e^(-c/2) solves x² + x - 1 = 0.
    x = (np.sqrt(5) - 1) / 2
    assert zipf_shares(1, 2, 1.0) == pytest.approx([1 - x**2, 1 - x])


@pytest.mark.parametrize("exponent", [0.3, 0.85, 1.2, 3.0])
@pytest.mark.parametrize("terms", [0.5, 12, 256, 29_000])
def test_shares_fall_and_add_up(terms, exponent):
    shares = zipf_shares(terms, 30_522, exponent)
    assert shares.sum() == pytest.approx(terms, rel=1e-9)
    assert (np.diff(shares) <= 0).all()
    assert shares.min() >= 0
    assert shares.max() <= 1


def test_a_simulation_agrees():
    random = np.random.default_rng(0)
    vocabulary, queries, documents = 500, 400, 600
    asked = zipf_shares(6, vocabulary, 0.85)
    held = zipf_shares(40, vocabulary, 0.85)
    q = random.random((queries, vocabulary)) < asked
    d = random.random((documents, vocabulary)) < held
    common = q.astype(float) @ d.astype(float).T
    assert common.mean() == pytest.approx(zipf_shared_terms(6, 40, vocabulary, 0.85), rel=0.03)


def test_limits():
    assert zipf_shared_terms(0, 40, 500, 0.85) == 0
    assert zipf_shared_terms(7, 500, 500, 0.85) == pytest.approx(7)
    assert zipf_shared_terms(7, 900, 500, 0.85) == pytest.approx(7)
    with pytest.raises(ValueError, match="terms"):
        zipf_shares(500, 500, 1.0)
    with pytest.raises(ValueError, match="terms"):
        zipf_shares(5, 500, float("nan"))


def test_the_default_exponent_is_near_what_collections_measured():
    """MiniLM, ridge head, K = 256: distinct terms of a query, and measured common terms."""
    measured = {"PyDocRetrieval": (12.6, 4.34), "SciFact": (21, 2.71), "XQuAD": (12.6, 1.88)}
    for terms, common in measured.values():
        assert 1 / 1.7 < zipf_shared_terms(terms, 256, 30_522, 0.85) / common < 1.7
