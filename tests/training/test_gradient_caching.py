"""Gradients in parts are the gradient at once, dropout included."""

import numpy as np
import pytest
import torch

from harness.training.contrastive import PairsObjective, SimcseObjective
from harness.training.embed import cached_backward
from harness.training.losses import contrastive_loss
from harness.training.network import Decoder
from tests.training.small import (
    gradients,
    network,
    sentences,
    step,
    tokenizer,
    worker,
    write_pairs,
    write_texts,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def close(found, expected):
    assert found.keys() == expected.keys()
    assert max(float(one.abs().max()) for one in found.values()) > 1e-3
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean", "last_token"])
@pytest.mark.parametrize("lora_rank", [0, 2])
def test_parts_of_pairs(tmp_path, pooling, lora_rank):
    path = write_pairs(tmp_path / "pairs.jsonl", sentences(12))
    found = {}
    for chunk_tokens in (8, 50, 100_000):
        config = step(
            "contrastive",
            pairs=str(path),
            batch_size=12,
            pooling=pooling,
            chunk_tokens=chunk_tokens,
            lora_rank=lora_rank,
        )
        decoder = Decoder(network(), config)
        loss, tokens = PairsObjective(config, tokenizer()).backward(decoder, worker(), 0)
        found[chunk_tokens] = (loss, tokens, gradients(decoder))
    whole_loss, whole_tokens, whole = found[100_000]
    for chunk_tokens in (8, 50):
        loss, tokens, parts = found[chunk_tokens]
        assert loss == pytest.approx(whole_loss, rel=1e-5)
        assert tokens == whole_tokens
        close(parts, whole)


class Counted:
    """Whether graphs are kept, and how many parts a batch has."""

    def __init__(self, embedder, chunk_tokens):
        self.embedder, self.chunk_tokens, self.calls = embedder, chunk_tokens, 0

    def parts(self, texts):
        return self.embedder.parts(texts)

    def __call__(self, *given):
        self.calls += 1
        return self.embedder(*given)


def test_parts_under_dropout_draw_alike_in_both_passes(tmp_path):
    path = write_texts(tmp_path / "text.jsonl", sentences(12))
    config = step("simcse", text=str(path), batch_size=12, chunk_tokens=40)
    objective = SimcseObjective(config, tokenizer())
    decoder = Decoder(network(), config)
    decoder.network.train()
    side = (objective._ids, np.arange(12))

    def run(chunk_tokens):
        counted = Counted(objective._embedder, chunk_tokens)
        loss, _ = cached_backward(
            counted,
            decoder,
            worker(),
            [side, side],
            loss_of=lambda sides: contrastive_loss(*sides, temperature=0.1),
            seed=lambda part: worker().seed(0, 7, part),
        )
        return loss, gradients(decoder), counted.calls

    cached_loss, cached, calls = run(40)
    kept_loss, kept, once = run(100_000)
    assert once > 4
    assert calls == 2 * once
    assert cached_loss == pytest.approx(kept_loss, rel=1e-6)
    close(cached, kept)


def test_parts_keep_the_budget_and_lose_nothing(tmp_path):
    path = write_texts(tmp_path / "text.jsonl", sentences(40))
    config = step("simcse", text=str(path), chunk_tokens=40)
    objective = SimcseObjective(config, tokenizer())
    indices = np.arange(40)[::-1].copy()
    parts = objective._embedder.parts((objective._ids, indices))
    assert sorted(np.concatenate(parts)) == list(range(40))
    lengths = objective._ids.lengths
    assert all(lengths[indices[part]].max() * len(part) <= 40 for part in parts)


def test_embeddings_come_in_the_order_of_the_texts(tmp_path):
    """The loss of pairs in parts is that of the pairs, not of what was computed together."""
    path = write_texts(tmp_path / "text.jsonl", sentences(12))
    config = step("simcse", text=str(path), chunk_tokens=40)
    objective = SimcseObjective(config, tokenizer())
    decoder = Decoder(network(), config)
    decoder.network.eval()
    indices = np.array([3, 0, 11, 7, 5])
    found = objective._embedder.every(decoder, worker(), (objective._ids, indices))
    for row, index in enumerate(indices):
        alone = torch.from_numpy(objective._ids[int(index)].astype(np.int64))[None]
        expected = decoder.states(alone, None)[0].mean(0)
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-5)
