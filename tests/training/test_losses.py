"""Losses against numbers worked by hand and against plain loops."""

import math

import pytest
import torch

from harness.training.losses import contrastive_loss, token_loss

EYE = torch.eye(2)


def test_token_loss_by_hand():
    # Probabilities 1/4, 1/2, 1/4 and 8/10, 1/10, 1/10: ln 2 + ln 10/8.
    logits = torch.tensor([[0.0, math.log(2), 0.0], [math.log(8), 0.0, 0.0]])
    assert float(token_loss(logits, torch.tensor([1, 0]))) == pytest.approx(0.9162907)


def test_token_loss_of_half_precision_is_computed_in_float32():
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(1)).bfloat16()
    targets = torch.arange(50)
    found = token_loss(logits, targets)
    exact = -logits.double().log_softmax(1)[targets, targets].sum()
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize(
    ("documents", "temperature", "both_ways", "expected"),
    [
        # Cosines are those of the axes, whatever the lengths: ln(1 + 1/e), ln(1 + 1/e²).
        ([[3.0, 0.0], [0.0, 0.5]], 1.0, False, 0.3132617),
        ([[3.0, 0.0], [0.0, 0.5]], 0.5, False, 0.1269280),
        ([[3.0, 0.0], [0.0, 0.5]], 1.0, True, 0.3132617),
        # Both documents are the first query's: ln 2 one way, (ln(1 + 1/e) + ln(1 + e)) / 2 back.
        ([[1.0, 0.0], [1.0, 0.0]], 1.0, False, 0.6931472),
        ([[1.0, 0.0], [1.0, 0.0]], 1.0, True, 0.7532044),
        # A negative of both: (ln(1 + 1/e + 1/e²) + ln(1 + 2/e)) / 2; it has no query to find.
        ([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], 1.0, False, 0.4795253),
        ([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], 1.0, True, 0.3963935),
    ],
)
def test_contrastive_loss_by_hand(documents, temperature, both_ways, expected):
    found = contrastive_loss(
        EYE, torch.tensor(documents), temperature=temperature, both_ways=both_ways
    )
    assert float(found) == pytest.approx(expected, abs=1e-6)


def loop(queries, documents, temperature, both_ways):
    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))

    def cross_entropy(row, own):
        return math.log(sum(math.exp(one) for one in row)) - row[own]

    rows = [[cosine(q, d) / temperature for d in documents] for q in queries]
    loss = sum(cross_entropy(row, own) for own, row in enumerate(rows)) / len(rows)
    if both_ways:
        columns = [[row[own] for row in rows] for own in range(len(rows))]
        back = sum(cross_entropy(column, own) for own, column in enumerate(columns)) / len(rows)
        loss = (loss + back) / 2
    return loss


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("extra", [0, 3])
def test_contrastive_loss_is_a_plain_loop(both_ways, extra):
    draw = torch.Generator().manual_seed(2)
    queries = torch.randn(5, 4, generator=draw)
    documents = torch.randn(5 + extra, 4, generator=draw)
    found = contrastive_loss(queries, documents, temperature=0.1, both_ways=both_ways)
    expected = loop(queries.tolist(), documents.tolist(), 0.1, both_ways)
    assert float(found) == pytest.approx(expected, rel=1e-5)
