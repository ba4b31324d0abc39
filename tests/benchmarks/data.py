"""Synthetic collections that all benchmarks share; the same seed gives the same bytes."""

from collections.abc import Iterator
from math import gcd

import numpy as np
from scipy import sparse

_BLOCK = 8192  # documents drawn at a time
_TOPICS = 100
_WORDS = 16  # a topic has one in so many tokens of the vocabulary
_COMMON = 0.06  # share of a document's tokens that no topic governs


def topic_mixture(documents: int, tokens: int, vocabulary: int, seed: int) -> sparse.csr_array:
    """Document rows whose tokens come from three topics each, and from words common to all.

    Some topics and words are common, most are rare: ten tokens of one of 100,000 documents of 128
    have about 11,700 postings in a vocabulary of 32,000.

    Args:
        documents: Rows, made in blocks.
        tokens: Distinct tokens of each document, at most a topic's: V / 16.
        vocabulary: V.
        seed: Of the generator.

    Returns:
        CSR float32 (documents, V) with sorted int32 columns; each row is positive and has norm 1.
    """
    indices = np.empty((documents, tokens), np.int32)
    weights = np.empty((documents, tokens), np.float32)
    start = 0
    for block in topic_blocks(documents, tokens, vocabulary, seed):
        rows = slice(start, start + block.shape[0])
        indices[rows] = block.indices.reshape(-1, tokens)
        weights[rows] = block.data.reshape(-1, tokens)
        start = rows.stop
    return _rows(indices, weights, vocabulary)


def topic_blocks(
    documents: int, tokens: int, vocabulary: int, seed: int
) -> Iterator[sparse.csr_array]:
    """The rows of `topic_mixture`, 8192 at a time."""
    rng = np.random.default_rng(seed)
    strides = _strides(_TOPICS, vocabulary, rng)
    for start in range(0, documents, _BLOCK):
        count = min(_BLOCK, documents - start)
        indices = _distinct(count, tokens, vocabulary, strides, rng)
        drawn = np.log1p(0.5 + rng.standard_exponential((count, tokens), np.float32))
        weights = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        yield _rows(indices, weights.astype(np.float32), vocabulary)


def _rows(indices: np.ndarray, weights: np.ndarray, vocabulary: int) -> sparse.csr_array:
    documents, tokens = indices.shape
    offsets = np.arange(0, documents * tokens + 1, tokens, dtype=np.int32)
    shape = (documents, vocabulary)
    return sparse.csr_array((weights.ravel(), indices.ravel(), offsets), shape=shape)


def queries_of(rows: sparse.csr_array, count: int, tokens: int, seed: int) -> sparse.csr_array:
    """Binary queries of distinct tokens, each drawn from one document's: CSR float32 (count, V)."""
    rng = np.random.default_rng(seed)
    drawn = []
    for document in rng.integers(0, rows.shape[0], count):
        own = rows.indices[rows.indptr[document] : rows.indptr[document + 1]]
        drawn.append(np.sort(rng.choice(own, tokens, replace=False)))
    indices = np.concatenate(drawn).astype(np.int32)
    offsets = np.arange(0, count * tokens + 1, tokens, dtype=np.int32)
    ones = np.ones(count * tokens, np.float32)
    return sparse.csr_array((ones, indices, offsets), shape=(count, rows.shape[1]))


def _strides(count: int, vocabulary: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers that permute the vocabulary by multiplication: each topic's own order of it."""
    numbers = [n for n in rng.permutation(vocabulary).tolist() if gcd(n, vocabulary) == 1]
    return np.resize(np.array(numbers, np.int64), count)


def _distinct(
    count: int, tokens: int, vocabulary: int, strides: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Distinct sorted tokens of each document: int32 (count, tokens)."""
    topics = (len(strides) * rng.random((count, 3)) ** 4).astype(np.int64)
    found = np.empty((count, tokens), np.int32)
    short, draws = np.arange(count), tokens + tokens // 2
    while len(short):
        shape = (len(short), draws)
        ranks = (vocabulary * rng.random(shape) ** 1.5).astype(np.int64)
        own = np.take_along_axis(topics[short], rng.integers(0, 3, shape), axis=1)
        topical = (ranks // _WORDS * strides[own] + 7919 * own) % vocabulary
        drawn = np.where(rng.random(shape) < _COMMON, ranks, topical)
        keys = np.sort(drawn * draws + np.arange(draws), axis=1)  # repeats stand side by side
        drawn, places = np.divmod(keys, draws)
        places[:, 1:][drawn[:, 1:] == drawn[:, :-1]] = draws
        last = np.partition(places, tokens - 1, axis=1)[:, tokens - 1]
        whole = last < draws
        kept = (places <= last[:, None]) & whole[:, None]
        found[short[whole]] = drawn[kept].reshape(-1, tokens)
        short, draws = short[~whole], 2 * draws
    return found
