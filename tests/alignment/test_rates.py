"""Alignment metrics against plain loops over sets and sorted lists, as the paper defines them."""

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.alignment import aligned_tokens as blocks_module
from harness.alignment.linear import LmHead
from harness.alignment.rates import AlignmentCounts, Rate, alignment_counts, alignment_rates
from harness.config import (
    InstructionConfig,
    LmHeadConfig,
    MeanPoolingConfig,
    ModelConfig,
    TransformersBackendConfig,
    build,
)
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.ragged import Ragged
from harness.embedding.transformers_backend import TransformersBackend

SUBJECTS = ("The little girl", "A big dog", "Tom", "Her old grandmother", "The red bird")
DEEDS = (
    "wanted to play in the park.",
    "was very sad, very, very sad.",
    "ran and ran and ran until the sun went down.",
    'said: "Let\'s go home!"',
    "found a shiny rock",
    "looked up at 7 zeppelins.",
    "did not like the cake that she had baked all day long in the hot kitchen.",
)
SENTENCES = [f"{subject} {deed}" for subject in SUBJECTS for deed in DEEDS]


def brute(logits, texts, k):
    """Hit@K, LAR and GAR, and each text's sets, from the definition."""
    hits, shares, tokens, matched = [], [], [], []
    for values, text in zip(logits, texts, strict=True):
        order = sorted(range(len(values)), key=lambda token: (-values[token], token))
        tokens.append(set(text))
        matched.append(set(order[: len(text)]) & set(text))
        hits.append(bool(set(order[:k]) & set(text)))
        if text:
            shares.append(len(matched[-1]) / len(tokens[-1]))
    union, matched_union = set().union(*tokens), set().union(*matched)
    rates = (
        sum(hits) / len(hits) if hits else np.nan,
        sum(shares) / len(shares) if shares else np.nan,
        len(matched_union) / len(union) if union else np.nan,
    )
    return hits, tokens, matched, rates


def assert_equals_brute(counts, logits, texts, k):
    hits, tokens, matched, rates = brute(logits, texts, k)
    assert counts.hit.tolist() == hits
    assert rows_of(counts.tokens) == [sorted(row) for row in tokens]
    assert rows_of(counts.matched_tokens) == [sorted(row) for row in matched]
    assert counts.distinct.tolist() == [len(row) for row in tokens]
    assert counts.matched.tolist() == [len(row) for row in matched]
    found = alignment_rates(counts, resamples=10)
    assert (found.k, found.texts) == (k, len(texts))
    values = (found.hit.value, found.lar.value, found.gar.value)
    np.testing.assert_allclose(values, rates, rtol=1e-12)


def rows_of(ragged):
    return [ragged[row].tolist() for row in range(len(ragged))]


def counts_of(matrix_head, logits, texts, known=None, **settings):
    """The counts of texts whose logits are given."""
    logits = np.asarray(logits, np.float32)
    head = matrix_head(np.eye(logits.shape[1]))
    known = logits.shape[1] if known is None else known
    return alignment_counts(head, logits, Ragged.from_rows(texts), known=known, **settings)


def random_counts(matrix_head, texts, seed=0, size=200):
    """Counts of texts of 5 to 20 tokens that lead their logits a little."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((texts, size))
    rows = [rng.integers(0, size, rng.integers(5, 20)).tolist() for _ in range(texts)]
    for row, tokens in enumerate(rows):
        logits[row, tokens] += 1
    return counts_of(matrix_head, logits, rows, k=3)


def counts_of_own_tokens(matched):
    """Counts of texts that share no token: whether each of a text's tokens is matched, (n, m)."""
    values = np.arange(matched.size, dtype=np.int32)
    tokens = Ragged(values, np.arange(len(matched) + 1) * matched.shape[1])
    return AlignmentCounts(1, matched[:, 0], tokens, tokens.keep(matched.ravel()))


def test_by_hand(matrix_head):
    logits = [
        [9, 8, 7, 6, 5, 4],  # A = 0 1 2 3 4 5
        [1, 2, 3, 4, 5, 6],  # A = 5 4 3 2 1 0
        [0, 5, 5, 0, 5, 0],  # A = 1 2 4 0 3 5
        [3, 2, 1, 0, 0, 0],
    ]
    texts = [[1, 2, 2, 5], [0, 1, 0], [4, 2], []]
    counts = counts_of(matrix_head, logits, texts, k=2)
    # A[:4] = 0 1 2 3 holds 1 and 2; A[:3] = 5 4 3 holds neither; A[:2] = 1 2 holds 2.
    assert rows_of(counts.tokens) == [[1, 2, 5], [0, 1], [2, 4], []]
    assert rows_of(counts.matched_tokens) == [[1, 2], [], [2], []]
    assert counts.hit.tolist() == [True, False, True, False]
    assert counts.matched.tolist() == [2, 0, 1, 0]
    assert counts.distinct.tolist() == [3, 2, 2, 0]
    rates = alignment_rates(counts)
    assert rates.hit.value == 2 / 4
    assert rates.lar.value == pytest.approx((2 / 3 + 0 + 1 / 2) / 3)
    assert rates.gar.value == 2 / 5  # {1, 2} of {0, 1, 2, 4, 5}
    assert (rates.k, rates.texts) == (2, 4)


def test_tokens_are_searched_as_deep_as_the_text_is_long(matrix_head):
    """Not only among k: a cap at k = 3 would match 3 of these 8 tokens."""
    logits = [np.arange(20, 0, -1)]
    text = list(range(8))
    counts = counts_of(matrix_head, logits, [text], k=3)
    assert counts.matched.tolist() == [8]
    assert alignment_rates(counts).lar.value == alignment_rates(counts).gar.value == 1.0
    capped = set(np.argsort(-logits[0])[:3].tolist()) & set(text)
    assert len(capped) / len(text) == 3 / 8


@given(data=st.data())
def test_equals_the_definition_with_ties(matrix_head, data):
    # Small integers: products are exact in float32, ties and equal embeddings are frequent.
    seed = data.draw(st.integers(0, 2**32 - 1))
    texts, size, width = data.draw(
        st.tuples(st.integers(0, 12), st.integers(1, 30), st.integers(1, 4))
    )
    k, known = data.draw(st.tuples(st.integers(1, 40), st.integers(1, size)))
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-2, 3, (size, width)).astype(np.float32)
    bias = rng.integers(-2, 3, size).astype(np.float32)
    embeddings = rng.integers(-1, 2, (texts, width)).astype(np.float32)
    # A tokenizer may know ids that the head has no column for.
    rows = [rng.integers(0, size + 3, rng.integers(0, 25)).tolist() for _ in range(texts)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            blocks_module, "_BLOCK_BYTES", data.draw(st.sampled_from([1, 4 * size * 3, 1 << 20]))
        )
        head = matrix_head(matrix, bias)
        counts = alignment_counts(head, embeddings, Ragged.from_rows(rows), known=known, k=k)
    assert_equals_brute(counts, (embeddings @ matrix.T + bias)[:, :known], rows, k)


def test_equals_the_definition_on_a_trained_model(stories, tmp_path):
    model, pooling = EmbeddingModel(ModelConfig(path=str(stories))), MeanPoolingConfig()
    backend = TransformersBackendConfig(device="cpu")
    encoder = TextEncoder(
        model=model,
        pooling=pooling,
        template=Template(InstructionConfig()),
        backend=TransformersBackend(backend, model=model, pooling=build(pooling)),
        store_dir=tmp_path,
    )
    head = LmHead(LmHeadConfig(), encoder=encoder)
    texts = encoder.fresh(SENTENCES, SENTENCES, "document")
    tokens = model.tokenizer(SENTENCES)["input_ids"]
    assert all(row[0] == model.tokenizer.bos_token_id for row in tokens)
    assert any(len(row) > len(set(row)) for row in tokens)
    embeddings = head.read(texts)
    counts = alignment_counts(head, embeddings, Ragged.from_rows(tokens), known=512)
    logits = head.project(embeddings) @ head.matrix.T
    assert_equals_brute(counts, logits.tolist(), tokens, 10)
    rates = alignment_rates(counts)
    assert 0 < rates.lar.value < rates.gar.value < 1
    assert rates.hit.value > 0


def test_a_padded_column_is_no_token(matrix_head):
    logits = [[1.0, 2.0, 0.0, 9.0, 8.0]]
    kept = counts_of(matrix_head, logits, [[1, 0]], known=3, k=1)
    assert (kept.hit.tolist(), kept.matched.tolist()) == ([True], [2])
    padded = counts_of(matrix_head, logits, [[1, 0]], known=5, k=1)
    assert (padded.hit.tolist(), padded.matched.tolist()) == ([False], [0])


def test_more_known_tokens_than_columns(matrix_head):
    counts = counts_of(matrix_head, [[1.0, 2.0]], [[1, 7]], known=8, k=1)
    assert (counts.hit.tolist(), counts.matched.tolist()) == ([True], [1])
    assert counts.distinct.tolist() == [2]


@pytest.mark.parametrize("k", [1, 2, 3, 100])
def test_a_hit_is_within_k(matrix_head, k):
    logits = [[5.0, 4.0, 3.0, 2.0]] * 3
    counts = counts_of(matrix_head, logits, [[0], [1, 3], [2]], k=k)
    assert counts.hit.tolist() == [True, k >= 2, k >= 3]
    assert counts.matched.tolist() == [1, 1, 0]  # whatever k is


def test_block_borders_do_not_matter(matrix_head, monkeypatch):
    rng = np.random.default_rng(1)
    logits = rng.integers(0, 40, (50, 60))
    texts = [rng.integers(0, 60, length).tolist() for length in rng.integers(0, 80, 50)]
    found = []
    for rows in (1, 7, 50):
        monkeypatch.setattr(blocks_module, "_BLOCK_BYTES", 4 * 60 * rows)
        found.append(counts_of(matrix_head, logits, texts, k=4))
    for counts in found:
        assert_equals_brute(counts, logits.tolist(), texts, 4)


def test_logits_of_all_texts_are_never_held(matrix_head, monkeypatch):
    monkeypatch.setattr(blocks_module, "_BLOCK_BYTES", 4 * 100 * 7)
    head = matrix_head(np.random.default_rng(0).standard_normal((100, 3)))
    embeddings = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)
    alignment_counts(head, embeddings, Ragged.from_rows([[1, 2]] * 20), known=100)
    assert head.blocks == [7, 7, 6]


def test_no_vocabulary_is_sorted_without_a_tie(matrix_head, monkeypatch):
    sorted_rows = []
    sort = torch.sort

    def record(values, *args, **kwargs):
        sorted_rows.append(len(values))
        return sort(values, *args, **kwargs)

    monkeypatch.setattr(torch, "sort", record)
    assert counts_of(matrix_head, [[5, 4, 3, 2]], [[0, 2, 1]], k=1).matched.tolist() == [3]
    assert sum(sorted_rows) == 0
    logits = [[5, 4, 3, 2], [5, 4, 3, 3]]
    assert counts_of(matrix_head, logits, [[0, 2, 1], [1, 0, 3]], k=1).matched.tolist() == [3, 2]
    assert sum(sorted_rows) == 1


def test_equal_embeddings_are_read_once_for_all_their_texts(matrix_head):
    head = matrix_head([[3.0], [2.0], [1.0]])
    tokens = Ragged.from_rows([[2], [0], [1, 2, 2], []])
    counts = alignment_counts(head, np.ones((4, 1), np.float32), tokens, known=3, k=1)
    assert head.blocks == [1]
    assert counts.hit.tolist() == [False, True, False, False]
    assert rows_of(counts.matched_tokens) == [[], [0], [1, 2], []]


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_a_logit_that_is_no_number_is_refused(matrix_head, refusal, weight):
    head = matrix_head([[1.0], [weight]])
    tokens = Ragged.from_rows([[0]])
    message = refusal(
        lambda: alignment_counts(head, np.ones((1, 1), np.float32), tokens, known=2, k=1)
    )
    assert message == (
        "head: a text's largest logit is NaN or infinite; check the head's matrix, or use "
        "backend.dtype=float32"
    )


def test_counts_of_parts_are_those_of_the_whole(matrix_head):
    rng = np.random.default_rng(2)
    logits, texts = rng.standard_normal((9, 20)), rng.integers(0, 20, (9, 6)).tolist()
    whole = counts_of(matrix_head, logits, texts, k=2)
    parts = [counts_of(matrix_head, logits[at], texts[at], k=2) for at in (slice(4), slice(4, 9))]
    joined = AlignmentCounts.concatenate(parts)
    assert len(joined) == 9
    assert joined.hit.tolist() == whole.hit.tolist()
    assert rows_of(joined.tokens) == rows_of(whole.tokens)
    assert rows_of(joined.matched_tokens) == rows_of(whole.matched_tokens)
    assert alignment_rates(joined) == alignment_rates(whole)


def test_counts_for_different_k_are_not_joined(matrix_head):
    parts = [counts_of(matrix_head, [[1.0, 2.0]], [[0]], k=k) for k in (1, 2)]
    with pytest.raises(ValueError, match="too many values"):
        AlignmentCounts.concatenate(parts)


def test_no_texts(matrix_head):
    counts = alignment_counts(
        matrix_head(np.eye(3)), np.zeros((0, 0), np.float32), Ragged.from_rows([]), known=3
    )
    rates = alignment_rates(counts)
    assert rates.texts == 0
    for rate in (rates.hit, rates.lar, rates.gar):
        assert np.isnan(astuple(rate)).all()


def test_texts_without_tokens_are_no_hits_and_nothing_else(matrix_head):
    logits = np.eye(4)
    rates = alignment_rates(counts_of(matrix_head, logits, [[0], [1, 0], [], []], k=1))
    assert rates.hit.value == 0.5
    assert rates.lar == rates.gar == Rate(1.0, 1.0, 1.0)
    empty = alignment_rates(counts_of(matrix_head, logits, [[]] * 4))
    assert empty.hit == Rate(0.0, 0.0, 0.0)
    assert np.isnan([*astuple(empty.lar), *astuple(empty.gar)]).all()


def test_intervals_contain_their_values_and_do_not_change(matrix_head):
    counts = random_counts(matrix_head, 80)
    rates = alignment_rates(counts, seed=4)
    for rate in (rates.hit, rates.lar, rates.gar):
        assert 0 <= rate.low < rate.value < rate.high <= 1
    assert alignment_rates(counts, seed=4) == rates
    other = alignment_rates(counts, seed=5)
    assert (other.lar.low, other.lar.high) != (rates.lar.low, rates.lar.high)
    assert other.lar.value == rates.lar.value


def test_intervals_shrink_with_the_texts():
    few, many = (
        alignment_rates(counts_of_own_tokens(np.random.default_rng(0).random((n, 4)) < 0.5))
        for n in (25, 400)
    )
    for metric in ("hit", "lar", "gar"):
        narrow, wide = getattr(many, metric), getattr(few, metric)
        ratio = (narrow.high - narrow.low) / (wide.high - wide.low)
        assert ratio == pytest.approx(1 / 4, rel=0.4)  # 16 times the texts


def test_intervals_of_means_are_those_of_scipy(matrix_head):
    counts = random_counts(matrix_head, 150)
    rates = alignment_rates(counts, resamples=5000)
    shares = counts.matched / counts.distinct
    for rate, values in ((rates.hit, counts.hit.astype(float)), (rates.lar, shares)):
        other = stats.bootstrap(
            (values,), np.mean, n_resamples=5000, method="percentile", rng=np.random.default_rng(1)
        )
        error = 0.1 * other.standard_error  # of a 2.5 % quantile of 5,000 draws: 0.04
        low, high = other.confidence_interval
        assert rate.low == pytest.approx(low, abs=error + 1 / 150 * (rate is rates.hit))
        assert rate.high == pytest.approx(high, abs=error + 1 / 150 * (rate is rates.hit))


def test_draws_in_blocks_are_the_same_draws(matrix_head, monkeypatch):
    from harness.alignment import rates as module

    counts = random_counts(matrix_head, 30)
    at_once = alignment_rates(counts, resamples=100)
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 70)
    assert alignment_rates(counts, resamples=100) == at_once


def test_the_interval_of_gar_is_a_jackknife_of_the_definition(matrix_head):
    rng = np.random.default_rng(6)
    logits = rng.integers(0, 30, (25, 120)).astype(np.float32)
    texts = [rng.integers(0, 120, rng.integers(1, 30)).tolist() for _ in range(25)]
    values = []
    for left_out in range(25):
        kept = [row for row in range(25) if row != left_out]
        values.append(brute(logits[kept].tolist(), [texts[row] for row in kept], 1)[3][2])
    error = np.sqrt(24 / 25 * np.sum((np.array(values) - np.mean(values)) ** 2))
    gar = alignment_rates(counts_of(matrix_head, logits, texts)).gar
    assert gar.high - gar.value == pytest.approx(stats.norm.ppf(0.975) * error)
    assert gar.value - gar.low == pytest.approx(stats.norm.ppf(0.975) * error)


def test_the_interval_of_gar_covers_what_new_texts_give(matrix_head):
    """A percentile bootstrap's would lie below: its resamples hold fewer texts."""
    rates = [
        alignment_rates(random_counts(matrix_head, 60, seed), resamples=1) for seed in range(60)
    ]
    expected = np.mean([rate.gar.value for rate in rates])
    covered = sum(rate.gar.low <= expected <= rate.gar.high for rate in rates)
    assert covered >= 52  # 57 expected; fewer than 52 in 1 of 100 tests at 95 %


def test_one_text_shows_no_spread_of_gar(matrix_head):
    counts = counts_of(matrix_head, [[3.0, 2.0, 1.0, 0.0]] * 2, [[0, 3], []])
    assert alignment_rates(counts).gar == Rate(0.5, 0.0, 1.0)


def test_the_interval_of_gar_by_hand(matrix_head):
    # Without each text GAR is 1/2, 1/2 and 1 (0, 0 and 1/2): a standard error of 1/3.
    logits = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    reach = stats.norm.ppf(0.975) / 3
    gar = alignment_rates(counts_of(matrix_head, logits, [[0], [1], [2]])).gar
    assert astuple(gar) == pytest.approx((2 / 3, 2 / 3 - reach, 1.0))
    gar = alignment_rates(counts_of(matrix_head, logits, [[0], [2], [1]])).gar
    assert astuple(gar) == pytest.approx((1 / 3, 0.0, 1 / 3 + reach))
