"""Scoring FLOPs: by hand, and a brute-force loop."""

import numpy as np
import pytest

from harness.cost.scoring import dense_scoring_flops, sparse_scoring_flops, splade_flops


def test_dense_and_sparse_by_hand():
    assert dense_scoring_flops(384, 1_000) == 768_000
    # A query of three tokens with document frequencies 5, 2 and 1 touches 8 postings.
    assert sparse_scoring_flops(5 + 2 + 1) == 16
    assert sparse_scoring_flops(np.array([8, 0], dtype=np.int64)).tolist() == [16, 0]


def test_splade_flops_by_hand():
    # 0.5 * 0.2 + 1 * 0.1 + 0 * 1 = 0.2
    assert splade_flops([0.5, 1, 0], [0.2, 0.1, 1]) == pytest.approx(0.2)


def test_splade_flops_is_the_mean_overlap_of_all_pairs():
    random = np.random.default_rng(0)
    queries = random.random((7, 30)) < 0.2
    documents = random.random((11, 30)) < 0.4
    overlap = 0
    for query in queries:
        for document in documents:
            for entry in range(30):
                overlap += int(query[entry] and document[entry])
    mean = overlap / (7 * 11)
    assert splade_flops(queries.mean(axis=0), documents.mean(axis=0)) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("queries", "documents"),
    [([0.5], [0.5, 0.5]), ([[0.5]], [[0.5]]), ([1.5], [0.5]), ([0.5], [-0.1]), ([np.nan], [0.5])],
)
def test_splade_flops_refuses_what_are_no_shares(queries, documents):
    with pytest.raises(ValueError, match="shares"):
        splade_flops(queries, documents)
