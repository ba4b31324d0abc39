"""Objectives: what each reads and predicts, by a decoder that tells, and gradients by torch."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize

from harness.errors import BadInputError
from harness.training.causal import CausalObjective
from harness.training.contrastive import PairsObjective, SimcseObjective
from harness.training.losses import contrastive_loss
from harness.training.mntp import MaskedObjective
from harness.training.network import Decoder
from harness.training.tokens import summed_token_loss, token_backward
from tests.training.small import (
    backwards,
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

LONG = "the cat sat on a mat while dogs bark and birds sing in rain or sun over green hills"


def ids_of(text):
    return tokenizer()(text)["input_ids"]


class Teller:
    """Its state at a place says which text and place it is; its logits know what comes next."""

    def __init__(self, rows):
        self.rows = rows
        self.places = []

    def states(self, ids, mask):
        self.read, self.mask = ids, mask
        texts, length = ids.shape
        own = [next(n for n, row in enumerate(self.rows) if self._fits(n, i)) for i in range(texts)]
        places = 1000 * torch.tensor(own)[:, None] + torch.arange(length)
        return places[..., None].float().requires_grad_()

    def _fits(self, number, i):
        length = len(self.rows[number])
        return int(self.mask[i].sum()) == length if self.mask is not None else True

    def logits(self, states):
        found = states.detach()[:, 0].long().tolist()
        self.places += [(one // 1000, one % 1000) for one in found]
        following = [self.rows[text][place + 1] for text, place in self.places[-len(found) :]]
        sure = 50 * torch.eye(300)[torch.tensor(following)]
        return sure + 0 * states


class TestMasked:
    def told(self, tmp_path, texts, **settings):
        path = write_texts(tmp_path / "text.jsonl", texts)
        objective = MaskedObjective(step("mntp", text=str(path), **settings), tokenizer())
        teller = Teller([ids_of(text) for text in texts])
        loss, tokens = objective.backward(teller, worker(), 0)
        return teller, loss, tokens

    def test_the_state_before_predicts_the_masked_token(self, tmp_path):
        teller, loss, tokens = self.told(tmp_path, [LONG], mask_probability=0.4)
        true = ids_of(LONG)
        assert tokens == len(true)
        assert loss == pytest.approx(0.0, abs=1e-6)  # sure of the true token after each place
        predicted = {place + 1 for _, place in teller.places}
        changed = {i for i, one in enumerate(true) if int(teller.read[0, i]) != one}
        assert changed <= predicted
        assert 5 <= len(predicted) < len(true)
        assert sum(int(teller.read[0, i]) == 3 for i in predicted) >= 0.5 * len(predicted)
        assert 3 not in [int(teller.read[0, i]) for i in range(len(true)) if i not in predicted]

    def test_what_is_never_predicted(self, tmp_path):
        texts = [f"{LONG} </s> cat <pad> sun", "the cat"]
        teller, _, _ = self.told(tmp_path, texts, mask_probability=0.99999)
        rows = [ids_of(text) for text in texts]
        assert {0, 2} <= set(rows[0])
        expected = {
            (text, place - 1)
            for text, row in enumerate(rows)
            for place, token in enumerate(row)
            if place and token > 3
        }
        assert set(teller.places) == expected
        assert len(teller.places) == len(expected)
        short = next(i for i in range(2) if int(teller.mask[i].sum()) == len(rows[1]))
        assert teller.read[short, len(rows[1]) :].eq(0).all()
        assert teller.read[:, 0].eq(1).all()

    def test_a_mask_of_ones_own(self, tmp_path):
        teller, _, _ = self.told(tmp_path, [LONG], mask_probability=0.9, mask_token="Ġcat")
        (cat,) = ids_of("cat")[1:]
        assert (teller.read == cat).float().mean() > 0.5
        with pytest.raises(BadInputError, match=r"train\.mask_token='nonsense' is no token"):
            self.told(tmp_path, [LONG], mask_token="nonsense")

    def test_validation_is_the_same_on_every_call(self, tmp_path):
        path = write_texts(tmp_path / "text.jsonl", sentences())
        settings = {"text": str(path), "held_out": 0.3, "batch_tokens": 64}
        objective = MaskedObjective(step("mntp", **settings), tokenizer())
        decoder = Decoder(network(), step("mntp", **settings))
        one, other = (objective.validate(decoder, worker()) for _ in range(2))
        assert one == other
        assert 4 < one < 12


class TestCausal:
    def objective(self, tmp_path, texts, **settings):
        path = write_texts(tmp_path / "text.jsonl", texts)
        config = step("pretrain", text=str(path), max_length=8, batch_tokens=24, **settings)
        return CausalObjective(config, tokenizer())

    def test_each_token_predicts_the_next_within_its_block(self, tmp_path):
        objective = self.objective(tmp_path, [LONG])
        stream = [*ids_of(LONG), 2]
        count = len(stream) // 8
        blocks = [stream[8 * n : 8 * n + 8] for n in range(count)]
        assert objective.steps == -(-count // 3)
        seen = []

        class Reads(Teller):
            def states(self, ids, mask):
                assert mask is None
                self.rows = ids.tolist()
                seen.extend(self.rows)
                places = 1000 * torch.arange(len(ids))[:, None] + torch.arange(8)
                return places[..., None].float().requires_grad_()

        for number in range(objective.steps):
            reads = Reads([])
            loss, tokens = objective.backward(reads, worker(), number)
            assert loss == pytest.approx(0.0, abs=1e-6)
            rows = len(reads.rows)
            assert tokens == 8 * rows
            assert reads.places == [(row, place) for row in range(rows) for place in range(7)]
        assert sorted(seen) == sorted(blocks)

    def test_gradient_is_plain_torchs(self, tmp_path):
        objective = self.objective(tmp_path, sentences(20))
        decoder = Decoder(network(), objective.config)
        loss, _ = objective.backward(decoder, worker(), 0)
        found = gradients(decoder)
        blocks = torch.from_numpy(objective._blocks[objective._order[:3]])
        logits = decoder.network(input_ids=blocks).logits[:, :-1]
        plain = cross_entropy(logits.reshape(-1, 300), blocks[:, 1:].reshape(-1))
        plain.backward()
        assert loss == pytest.approx(float(plain.detach()), rel=1e-6)
        close(found, gradients(decoder))

    def test_validation_by_plain_torch(self, tmp_path):
        objective = self.objective(tmp_path, sentences(), held_out=0.3)
        decoder = Decoder(network(), objective.config)
        blocks = torch.from_numpy(objective._held)
        assert len(blocks) > 3
        logits = decoder.network(input_ids=blocks).logits[:, :-1]
        plain = cross_entropy(logits.reshape(-1, 300), blocks[:, 1:].reshape(-1))
        found = objective.validate(decoder, worker())
        assert found == pytest.approx(float(plain.detach()), rel=1e-5)

    def test_epochs(self, tmp_path):
        once = self.objective(tmp_path, sentences(), epochs=1)
        twice = self.objective(tmp_path, sentences(), epochs=2)
        half = self.objective(tmp_path, sentences(), epochs=0.5)
        assert len(twice._order) == 2 * len(once._order)
        assert sorted(twice._order) == sorted([*once._order, *once._order])
        assert len(half._order) == -(-len(once._order) // 2)


def close(found, expected):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_loss_in_chunks_of_the_head_is_the_loss_at_once():
    """600 rows are three chunks of 256."""
    decoder = Decoder(network(tied=False), step("pretrain", text="-"))
    ids = torch.from_numpy(np.random.default_rng(0).integers(4, 300, (20, 31)))
    states = decoder.states(ids, None)
    targets = ids[:, 1:].reshape(-1)
    rows = states[:, :-1].reshape(-1, states.shape[-1])
    loss = token_backward(decoder, worker(), rows, targets, 1200)
    found = gradients(decoder)
    plain = cross_entropy(decoder.network(input_ids=ids).logits[:, :-1].reshape(-1, 300), targets)
    (plain / 2).backward()
    assert loss == pytest.approx(float(plain.detach()) / 2, rel=1e-6)
    close(found, gradients(decoder))
    with torch.no_grad():
        summed, count = summed_token_loss(decoder, worker(), rows, targets)
    assert count == 600
    assert summed / count == pytest.approx(float(plain.detach()), rel=1e-6)


def pooled(decoder, text, pooling, longest):
    """The embedding of one text alone."""
    states = decoder.states(torch.tensor([ids_of(text)[:longest]]), None)[0]
    if pooling == "last_token":
        return states[-1]
    weights = torch.arange(1.0, len(states) + 1) if pooling == "weighted_mean" else 1.0
    weights = torch.ones(len(states)) * weights
    return (states * weights[:, None]).sum(0) / weights.sum()


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean", "last_token"])
@pytest.mark.parametrize(("both_ways", "negatives"), [(True, 1), (False, 0)])
def test_pairs_by_plain_torch(tmp_path, pooling, both_ways, negatives):
    texts = sentences(4)
    path = write_pairs(tmp_path / "pairs.jsonl", texts)
    config = step(
        *("contrastive",),
        pairs=str(path),
        batch_size=4,
        pooling=pooling,
        both_ways=both_ways,
        negatives=negatives,
        temperature=0.2,
        max_length=10,
        query_max_length=4,
    )
    objective = PairsObjective(config, tokenizer())
    assert objective.steps == 1
    decoder = Decoder(network(), config)
    loss, tokens = objective.backward(decoder, worker(), 0)
    found = gradients(decoder)
    queries = [pooled(decoder, " ".join(t.split()[:3]), pooling, 4) for t in texts]
    documents = [pooled(decoder, text, pooling, 10) for text in texts]
    against = [backwards(text) for text in texts] if negatives else []
    extra = [pooled(decoder, text, pooling, 10) for text in against]
    logits = normalize(torch.stack(queries)) @ normalize(torch.stack(documents + extra)).T / 0.2
    own = torch.arange(4)
    plain = cross_entropy(logits, own)
    if both_ways:
        plain = (plain + cross_entropy(logits[:, :4].T, own)) / 2
    plain.backward()
    assert loss == pytest.approx(float(plain.detach()), rel=1e-5)
    close(found, gradients(decoder))
    lengths = [min(len(ids_of(text)), 10) for text in texts + against]
    asked = [min(len(ids_of(" ".join(t.split()[:3]))), 4) for t in texts]
    assert tokens == sum(asked) + sum(lengths)


def test_hard_negatives_are_neither_held_out_nor_a_querys_own_document(tmp_path):
    """What is left of them gives the loss of a file that has no others."""
    texts = sentences(30)
    split_at = {"held_out": 0.2, "batch_size": 30, "epochs": 1}

    def loss(name, negatives, most):
        lines = [
            {"query": text.split()[0], "positive": text, "negatives": negatives(text)}
            for text in texts
        ]
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        config = step("contrastive", pairs=str(path), negatives=most, **split_at)
        objective = PairsObjective(config, tokenizer())
        loss, tokens = objective.backward(Decoder(network(), config), worker(), 0)
        return loss, tokens, objective._held

    *plain, held = loss("plain.jsonl", lambda text: [backwards(text)], 1)
    assert 2 <= len(held) <= 12
    unseen, taken = texts[held[0]], next(t for n, t in enumerate(texts) if n not in held)
    mixed = loss("mixed.jsonl", lambda text: [unseen, backwards(text)], 1)
    assert mixed[:2] == tuple(plain)
    mixed = loss("own.jsonl", lambda text: [text, backwards(text)], 1)
    assert mixed[:2] == tuple(plain)
    mixed = loss("others.jsonl", lambda text: [backwards(text), taken], 2)
    assert mixed[:2] == tuple(plain)


def test_pairs_and_masked_tokens_by_plain_torch(tmp_path):
    """Nothing hidden and every token chosen: the second loss is that of each token seen."""
    path = write_pairs(tmp_path / "pairs.jsonl", sentences(4))
    settings = {"pairs": str(path), "batch_size": 4, "negatives": 0}
    seen = {"mask_probability": 0.99999, "hidden_share": 0, "random_share": 0}
    both = step("contrastive", **settings, **seen, mntp_weight=0.25, mntp_texts=3)
    decoder = Decoder(network(tied=False), both)
    assert any("lm_head" in name for name in decoder.trained)
    alone = PairsObjective(step("contrastive", **settings), tokenizer())
    expected, read = alone.backward(decoder, worker(), 0)
    predicted = [ids_of(sentences(4)[i]) for i in alone._batches[0][:3]]
    losses = []
    for ids in predicted:
        states = decoder.states(torch.tensor([ids]), None)[0, :-1]
        wanted = torch.tensor(ids[1:])
        kept = wanted > 3  # no special token
        losses.append(cross_entropy(decoder.logits(states)[kept], wanted[kept], reduction="none"))
    mean = torch.cat(losses).mean()
    (0.25 * mean).backward()
    plain = gradients(decoder)
    loss, tokens = PairsObjective(both, tokenizer()).backward(decoder, worker(), 0)
    assert loss == pytest.approx(expected + 0.25 * float(mean.detach()), rel=1e-5)
    assert tokens == read + sum(map(len, predicted))
    close(gradients(decoder), plain)


def test_a_head_that_no_loss_reads_is_not_trained(tmp_path):
    decoder = Decoder(network(tied=False), step("contrastive", pairs="-"))
    assert not any("lm_head" in name for name in decoder.trained)


def test_simcse_embeds_a_text_twice(tmp_path):
    path = write_texts(tmp_path / "text.jsonl", sentences(20))
    config = step("simcse", text=str(path), batch_size=8, held_out=0.3, temperature=0.1)
    objective = SimcseObjective(config, tokenizer())
    decoder = Decoder(network(), config)
    decoder.network.train()
    one, tokens = objective.backward(decoder, worker(), 0)
    first = gradients(decoder)
    again, _ = objective.backward(decoder, worker(), 0)
    assert one == again
    close(first, gradients(decoder))
    batch = objective._batches[0]
    assert tokens == 2 * int(objective._ids.lengths[batch].sum())
    decoder.network.eval()
    same = torch.stack([pooled(decoder, sentences(20)[i], "mean", 128) for i in batch])
    equal = contrastive_loss(same, same, temperature=0.1)
    assert one > float(equal.detach()) + 1e-4  # under dropout the two are not alike
    assert objective.validate(decoder, worker()) == objective.validate(decoder, worker())


@pytest.mark.parametrize("objective", [SimcseObjective, PairsObjective])
def test_nothing_held_out_is_not_validated(tmp_path, objective):
    path = write_pairs(tmp_path / "pairs.jsonl", sentences(20))
    if objective is SimcseObjective:
        path = write_texts(tmp_path / "text.jsonl", sentences(20))
        config = step("simcse", text=str(path), batch_size=8)
    else:
        config = step("contrastive", pairs=str(path), batch_size=8)
    assert objective(config, tokenizer()).validate(None, worker()) is None


def test_held_out_pairs_are_validated_without_hard_negatives(tmp_path):
    texts = sentences(20)
    path = write_pairs(tmp_path / "pairs.jsonl", texts)
    config = step("contrastive", pairs=str(path), batch_size=8, held_out=0.3, both_ways=False)
    objective = PairsObjective(config, tokenizer())
    decoder = Decoder(network(), config)
    held = [texts[i] for i in objective._held]
    assert len(held) > 2
    with torch.no_grad():
        queries = [pooled(decoder, " ".join(text.split()[:3]), "mean", 64) for text in held]
        documents = [pooled(decoder, text, "mean", 256) for text in held]
    expected = contrastive_loss(torch.stack(queries), torch.stack(documents), temperature=0.05)
    assert objective.validate(decoder, worker()) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(("attention", "sees"), [("causal", False), ("bidirectional", True)])
def test_whether_a_state_sees_later_tokens(attention, sees):
    decoder = Decoder(network(), step("pretrain", text="-"))
    switched = Decoder(decoder.network, step("mntp", text="-", attention=attention))
    ids = torch.tensor([[1, 10, 20, 30, 40]])
    changed = ids.clone()
    changed[0, -1] = 50
    with torch.no_grad():
        change = (switched.states(ids, None) - switched.states(changed, None)).abs()
    assert change[0, -1].max() > 1e-2
    assert (float(change[0, :-1].max()) > 1e-3) is sees
    if not sees:
        assert float(change[0, :-1].max()) == 0.0


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_padding_is_never_seen(attention):
    decoder = Decoder(network(), step("mntp", text="-", attention=attention))
    ids = torch.tensor([[1, 10, 20, 0, 0], [1, 30, 40, 50, 60]])
    with torch.no_grad():
        alone = decoder.states(ids[:1, :3], None)
        batch = decoder.states(ids, ids > 0)
    torch.testing.assert_close(batch[:1, :3], alone, rtol=1e-5, atol=1e-6)
