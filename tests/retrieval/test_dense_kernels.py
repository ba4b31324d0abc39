"""The product of few queries against NumPy's, in one thread and in several."""

import numpy as np
import pytest
import torch

from harness.embedding.mapped_rows import write_rows
from harness.retrieval import dense_search as module
from harness.retrieval.dense_kernels import products


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 7, 64, 1000])
def test_products_are_those_of_float64(count, width):
    rng = np.random.default_rng(width)
    documents = rng.standard_normal((50, width)).astype(np.float32)
    queries = rng.standard_normal((count, width)).astype(np.float32)
    scores = np.empty((50, count), np.float32)
    products(documents, queries, scores)
    expected = documents.astype(np.float64) @ queries.astype(np.float64).T
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_what_is_no_number_stays_none():
    documents = np.ones((3, 40), np.float32)
    documents[1, 17], documents[2, 5] = np.nan, np.inf
    scores = np.empty((3, 1), np.float32)
    products(documents, np.ones((1, 40), np.float32), scores)
    assert scores[0, 0] == 40
    assert np.isnan(scores[1, 0])
    assert np.isinf(scores[2, 0])


def test_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    documents = rng.standard_normal((1001, 33)).astype(np.float32)
    documents.flags.writeable = False
    queries = rng.standard_normal((2, 33)).astype(np.float32)
    alone = module._product(documents, queries)
    monkeypatch.setattr(module, "_A_THREAD", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    np.testing.assert_array_equal(module._product(documents, queries), alone)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8"])
def test_rows_in_a_format_score_as_what_they_decode_to(tmp_path, monkeypatch, kind, threads):
    monkeypatch.setattr(module, "_A_THREAD", 1000)
    monkeypatch.setattr(module.torch, "get_num_threads", lambda: threads)
    rng = np.random.default_rng(3)
    documents = rng.standard_normal((101, 33)).astype(np.float32)
    documents[7] = 0
    queries = rng.standard_normal((3, 33)).astype(np.float32)
    mapped = write_rows(tmp_path / "rows", [documents], kind)
    found = module._product(mapped, queries, slice(5, 90))
    np.testing.assert_array_equal(found, module._product(mapped[5:90], queries))
