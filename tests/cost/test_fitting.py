"""FLOPs around a fitted head: by hand, by loops over the algorithms' steps, by torch's counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.cost.fitting import compression_flops, eigh_flops, fit_choice_flops, ridge_fit_flops

WIDTH, VOCABULARY, STRENGTHS = 7, 30, 4
SAMPLE, NONZEROS, WORDS = 20, 90, 60


def test_ridge_fit_flops_by_hand():
    # n=10, d=3, nnz=7, V=5: Gram 2*10*9 = 180; XtY 2*7*3 = 42; Cholesky 27/3 = 9;
    # solves 2*9*5 = 90.
    assert ridge_fit_flops(texts=10, width=3, nonzeros=7, vocabulary_size=5) == 180 + 42 + 9 + 90


def test_eigh_flops_by_hand():
    # 4/3 * 27 = 36 twice and 2 * 27; of two eigenvectors 36 and 2 * 9 * 2.
    assert eigh_flops(3) == pytest.approx(36 + 36 + 54)
    assert eigh_flops(3, vectors=2) == pytest.approx(36 + 36)


def test_eigh_flops_are_the_steps_of_the_algorithms():
    size, vectors = 1024, 300
    # Each reflector: a product of the rest of the matrix with a vector, then a symmetric update
    # with two vectors; to take back, two products with a vector for each eigenvector.
    rests = range(1, size - 1)
    tridiagonal = sum(2 * rest**2 + 2 * rest**2 for rest in rests)
    back = sum(2 * rest + 2 * rest for rest in rests)
    # Each merge multiplies two halves' vectors with the eigenvectors of a rank-one update.
    merges, parts, length = 0, 1, size
    while length > 1:
        merges += parts * 2 * (2 * (length // 2) ** 2 * length)
        parts, length = 2 * parts, length // 2
    assert eigh_flops(size) == pytest.approx(tridiagonal + merges + back * size, rel=0.01)
    assert eigh_flops(size, vectors) == pytest.approx(tridiagonal + back * vectors, rel=0.01)


def _dense_products(criterion):
    """What the criteria multiply, each in its place, with dense matrices on the meta device."""
    moments = torch.zeros(VOCABULARY, WIDTH, device="meta")
    vectors = torch.zeros(WIDTH, WIDTH, device="meta")
    places = torch.zeros(SAMPLE, WIDTH, device="meta")
    with FlopCounterMode(display=False) as counter:
        _ = vectors.T @ (moments.T @ moments @ vectors)
        if criterion == "gcv":
            return counter.get_total_flops()
        for _ in range(3 if criterion == "self_retrieval" else 2):  # places, reads, queries' reads
            _ = places @ vectors
        for _ in range(STRENGTHS):
            _ = places @ vectors
            for _ in range(3):  # leverage, agreement and norm of each document
                _ = torch.bmm(places[:, None, :], places[:, :, None])
            if criterion == "self_retrieval":
                _ = places @ places.T
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("criterion", "entries"),
    [("gcv", 0), ("loo", NONZEROS), ("self_retrieval", NONZEROS + WORDS)],
)
def test_choosing_takes_the_products_of_its_criterion(criterion, entries):
    sparse = sum(2 * WIDTH for _ in range(entries))
    flops = fit_choice_flops(
        criterion=criterion,
        strengths=STRENGTHS,
        width=WIDTH,
        vocabulary_size=VOCABULARY,
        sample=SAMPLE,
        sample_nonzeros=NONZEROS,
        query_nonzeros=WORDS,
    )
    assert flops - eigh_flops(WIDTH) == pytest.approx(_dense_products(criterion) + sparse)


def test_choosing_by_an_unknown_criterion_is_refused():
    with pytest.raises(ValueError, match="'aic' is unknown; use gcv, loo or self_retrieval"):
        fit_choice_flops(criterion="aic", strengths=1, width=1, vocabulary_size=1)


def test_compression_flops_by_hand():
    # V=10, d=3, r=2: Gram 2*10*9 = 180; two eigenvectors 72; product 2*10*3*2 = 120.
    assert compression_flops(rows=10, width=3, rank=2) == pytest.approx(180 + 72 + 120)
