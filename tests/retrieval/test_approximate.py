"""What approximate engines share, by hand."""

import numpy as np
import pytest

from harness.errors import BadInputError
from harness.retrieval.approximate import recall, rescored


def test_rescored(pairs):
    asked = []

    def score(candidates):
        asked.append([candidates[row].tolist() for row in range(len(candidates))])
        return np.array([1, 3, 3, 0.5], np.float32)

    found = rescored(np.array([[7, -1, 9], [2, -1, -1], [-1, 4, -1]]), score)
    assert asked == [[[7, 9], [2], [4]]]
    assert pairs(found) == [[(9, 3.0), (7, 1.0)], [(2, 3.0)], [(4, 0.5)]]
    assert found.documents.shape == (3, 3)


def test_rescored_ties_stand_by_document(pairs):
    found = rescored(np.array([[5, 3, 4]]), lambda _: np.array([1, 1, 2], np.float32))
    assert pairs(found) == [[(4, 2.0), (3, 1.0), (5, 1.0)]]


def test_rescored_refuses_nan():
    with pytest.raises(BadInputError, match="NaN"):
        rescored(np.array([[5]]), lambda _: np.array([np.nan], np.float32))


def test_recall(ranking):
    exact = ranking([(1, 9), (2, 8), (3, 7), (4, 6)], [(0, 5), (1, 4)], [], [(5, 1)])
    found = ranking([(4, 6), (1, 9), (8, 1)], [(0, 5), (1, 4), (2, 3)], [], [])
    assert recall(found, exact) == (2 / 4 + 1 + 1 + 0) / 4
    assert recall(exact, exact) == 1


def test_recall_of_one_querys_documents_says_nothing_of_another(ranking):
    exact = ranking([(1, 9)], [(2, 9)])
    assert recall(ranking([(2, 9)], [(1, 9)]), exact) == 0
