"""Packed texts: where they stand, attention of each to itself, and embeddings as if padded."""

import functools
import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings

from harness.config import build
from harness.config import parse_component as parse
from harness.embedding.families import PACKABLE_TYPES
from harness.embedding.packing import (
    Packing,
    Run,
    is_packable,
    packed_attention,
    positions_after_padding,
)
from tests.embedding.passes import backend, close, computed_tokens, embedded, prompts_of
from tests.embedding.tiny import ARCHITECTURES, POSITIONS, expected_states, model_folder

pytestmark = pytest.mark.usefixtures("one_thread")

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="texts of different lengths in one call need a GPU"
)

DECODERS = ("llama", "mistral_full", "qwen2", "qwen3", "gemma", "phi3")
ENCODERS = ("bert", "roberta", "xlm-roberta", "camembert")
CASES = [
    *((name, attention) for name in DECODERS for attention in ("causal", "bidirectional")),
    *((name, None) for name in ENCODERS),
]
PADDED = (
    *("mpnet", "distilbert", "electra", "albert", "modernbert", "t5"),
    *("gpt_neo", "opt", "gpt2", "gpt_neox", "bloom", "gemma2", "gemma3_text"),
    *("mistral", "qwen2_sliding", "phi3_sliding"),  # their windows are shorter than POSITIONS
)
POOLINGS = ("mean", "weighted_mean", "last_token", "cls", "max")

lengths_of_texts = st.lists(st.integers(1, 6), min_size=1, max_size=12)


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.getbasetemp()


def settings_of(folder):
    return json.loads((folder / "config.json").read_text())


def changed(folder, target, **settings):
    """A copy of a model with other settings."""
    shutil.copytree(folder, target)
    (target / "config.json").write_text(json.dumps(settings_of(folder) | settings))
    return target


class TestPacking:
    """Where texts stand."""

    def test_literal_case(self):
        packing = Packing(np.array([3, 3, 1, 2, 2, 2]))
        assert packing.tokens == 13
        assert packing.offsets.tolist() == [0, 3, 6, 7, 9, 11, 13]
        assert packing.positions.tolist() == [0, 1, 2, 0, 1, 2, 0, 0, 1, 0, 1, 0, 1]
        assert packing.runs == [Run(0, 2, 3), Run(6, 1, 1), Run(7, 3, 2)]
        assert [run.stop for run in packing.runs] == [6, 7, 13]

    @given(lengths_of_texts)
    def test_runs_are_maximal_and_hold_each_text_once(self, lengths):
        packing = Packing(np.array(lengths))
        runs = packing.runs
        assert [run.length for run in runs for _ in range(run.texts)] == lengths
        assert [run.start for run in runs] == [0, *(run.stop for run in runs[:-1])]
        assert runs[-1].stop == packing.tokens == sum(lengths)
        assert all(run.length != following.length for run, following in pairwise(runs))

    @given(lengths_of_texts)
    def test_splitting_gives_views_of_each_text(self, lengths):
        packing = Packing(np.array(lengths))
        tokens = torch.arange(2 * packing.tokens).view(packing.tokens, 2)
        texts = []
        for run, part in zip(packing.runs, packing.split(tokens), strict=True):
            assert part.shape == (run.texts, run.length, 2)
            assert part.data_ptr() == tokens[run.start].data_ptr()
            texts += part.tolist()
        expected = [tokens[a:b].tolist() for a, b in pairwise(np.cumsum([0, *lengths]))]
        assert texts == expected

    def test_boundaries_are_moved_once(self):
        packing = Packing(np.array([2, 1]))
        boundaries = packing.boundaries(torch.device("cpu"))
        assert boundaries.dtype == torch.int32
        assert boundaries.tolist() == [0, 2, 3]
        assert packing.boundaries(torch.device("cpu")) is boundaries


class TestPositionsAfterPadding:
    """Positions as RoBERTa counts them."""

    def test_literal_case(self):
        ids = np.array([5, 1, 6, 1, 7, 8])
        packing = Packing(np.array([3, 1, 2]))
        assert positions_after_padding(ids, packing, 1).tolist() == [2, 1, 3, 1, 2, 3]

    @given(lengths_of_texts, st.integers(0, 3), st.data())
    def test_transformers_own(self, lengths, padding, data):
        rows = [
            data.draw(st.lists(st.integers(0, 3), min_size=each, max_size=each)) for each in lengths
        ]
        found = positions_after_padding(
            np.concatenate(rows), Packing(np.array(lengths)), padding
        ).tolist()
        count = RobertaEmbeddings.create_position_ids_from_input_ids
        assert found == [
            position for row in rows for position in count(torch.tensor([row]), padding)[0].tolist()
        ]


class TestIsPackable:
    """What `config.json` says of it."""

    def unasked(self):
        raise AssertionError("the longest text does not matter without a window")

    @pytest.mark.parametrize("kind", PACKABLE_TYPES)
    def test_known_types_without_a_window(self, kind):
        assert is_packable({"model_type": kind, "sliding_window": None}, self.unasked)

    @pytest.mark.parametrize("kind", ["mpnet", "t5", "gemma2", "", None])
    def test_other_types(self, kind):
        assert not is_packable({"model_type": kind}, self.unasked)
        assert not is_packable({}, self.unasked)

    @pytest.mark.parametrize("kind", ["mistral", "qwen2", "phi3"])
    @pytest.mark.parametrize(("longest", "able"), [(11, True), (12, True), (13, False)])
    def test_a_window_must_hold_the_longest_text(self, kind, longest, able):
        text = {"model_type": kind, "sliding_window": 12}
        assert is_packable(text, lambda: longest) is able

    def test_a_window_that_goes_without_saying(self):
        window = transformers.MistralConfig().sliding_window
        assert is_packable({"model_type": "mistral"}, lambda: window)
        assert not is_packable({"model_type": "mistral"}, lambda: window + 1)

    def test_relative_positions(self):
        bert = {"model_type": "bert", "position_embedding_type": "absolute"}
        assert is_packable(bert, self.unasked)
        relative = bert | {"position_embedding_type": "relative_key"}
        assert not is_packable(relative, self.unasked)


def attended(query, key, value, *, causal, scale):
    """Attention of one text in float64: (length, heads, width)."""
    group = query.shape[1] // key.shape[1]
    key, value = (np.repeat(each, group, axis=1) for each in (key, value))
    logits = np.einsum("qhw,khw->hqk", query, key) * scale
    if causal:
        logits = np.where(np.tri(len(query), dtype=bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("hqk,khw->qhw", weights / weights.sum(-1, keepdims=True), value)


def tensors_of(rng, tokens, key_heads, width=8, heads=4):
    """Query, key and value as attention layers hand them on: float32 (1, heads, tokens, width)."""
    shapes = ((heads, tokens, width), (key_heads, tokens, width), (key_heads, tokens, width))
    return [torch.from_numpy(rng.normal(size=shape).astype(np.float32))[None] for shape in shapes]


class Layer(torch.nn.Module):
    """As much of an attention layer as a kernel looks at."""

    def __init__(self, *, is_causal):
        super().__init__()
        self.is_causal = is_causal


class TestAttention:
    """The kernel alone."""

    @pytest.mark.parametrize("key_heads", [4, 2, 1])
    @pytest.mark.parametrize("causal", [True, False])
    @pytest.mark.parametrize("scale", [None, 0.7])
    @settings(max_examples=15)
    @given(lengths=lengths_of_texts)
    def test_each_text_attends_to_itself(self, key_heads, causal, scale, lengths):
        packing = Packing(np.array(lengths))
        parts = tensors_of(np.random.default_rng(len(lengths)), packing.tokens, key_heads)
        found, weights = packed_attention(
            Layer(is_causal=causal), *parts, None, packing=packing, scaling=scale
        )
        assert weights is None
        assert found.shape == (1, packing.tokens, 4, 8)
        by_token = [part[0].transpose(0, 1).double().numpy() for part in parts]
        expected = [
            attended(*(part[a:b] for part in by_token), causal=causal, scale=scale or 8**-0.5)
            for a, b in pairwise(packing.offsets)
        ]
        close(found[0].numpy(), np.concatenate(expected))

    def test_an_argument_overrules_the_layer(self):
        packing = Packing(np.array([4, 3, 3]))
        parts = tensors_of(np.random.default_rng(0), packing.tokens, 2)

        def of(*, layer, argument):
            return packed_attention(
                Layer(is_causal=layer), *parts, None, packing=packing, is_causal=argument
            )[0]

        causal, full = (of(layer=each, argument=None) for each in (True, False))
        assert not torch.allclose(causal, full)
        torch.testing.assert_close(of(layer=True, argument=False), full, rtol=0, atol=0)
        torch.testing.assert_close(of(layer=False, argument=True), causal, rtol=0, atol=0)

    def test_a_layer_that_says_nothing_is_not_causal(self):
        packing = Packing(np.array([4]))
        parts = tensors_of(np.random.default_rng(0), packing.tokens, 2)
        plain = packed_attention(torch.nn.Module(), *parts, None, packing=packing)[0]
        full = packed_attention(Layer(is_causal=False), *parts, None, packing=packing)[0]
        torch.testing.assert_close(plain, full, rtol=0, atol=0)

    @needs_gpu
    @pytest.mark.parametrize("width", [64, 128, 320])  # the last one is too wide for the kernel
    @pytest.mark.parametrize("key_heads", [4, 2, 1])
    @pytest.mark.parametrize("causal", [True, False])
    def test_half_precision_on_a_gpu_equals_float32(self, width, key_heads, causal):
        packing = Packing(np.array([200, 130, 130, 130, 64, 17, 3, 1, 1]))
        parts = tensors_of(np.random.default_rng(1), packing.tokens, key_heads, width)
        parts = [part.to("cuda", torch.bfloat16) for part in parts]
        layer = Layer(is_causal=causal)
        found = packed_attention(layer, *parts, None, packing=packing, scaling=0.1)[0]
        assert found.dtype == torch.bfloat16
        exact = packed_attention(
            layer, *(part.float() for part in parts), None, packing=packing, scaling=0.1
        )[0]
        assert (found.float() - exact).norm() <= 2e-2 * exact.norm()
        assert (found.float() - exact).abs().max() <= 2e-2 * exact.abs().max()


class SideBySide:
    """Several poolings of the same states, next to each other."""

    def __init__(self, *poolings):
        self._poolings = [build(parse("pooling", each, where="pooling")) for each in poolings]
        self.config = self._poolings[0].config

    def __call__(self, states, pooled):
        return torch.cat([pool(states, pooled) for pool in self._poolings], dim=1)


def side_by_side(*, include_instruction):
    poolings = [{"kind": kind, "include_instruction": include_instruction} for kind in POOLINGS]
    if not include_instruction:
        echoes = ("mean", "weighted_mean", "last_token")
        poolings += [{"kind": "echo", "of": of} for of in echoes]
    return SideBySide(*poolings)


def pooled(states, *, include_instruction):
    """What `side_by_side` gives of one text's pooled states (length, d), with numpy."""
    states = states.astype(np.float64)
    weights = np.arange(1, len(states) + 1)[:, None]
    mean = states.mean(0)
    weighted = (weights * states).sum(0) / weights.sum()
    first, last = states[0], states[-1]
    parts = [mean, weighted, last, first, states.max(0)]
    return np.concatenate(parts if include_instruction else [*parts, mean, weighted, last])


@functools.cache
def states_function(folder, name, attention):
    return expected_states(folder, name, attention)


def rows_of(folder):
    """Token ids of texts: without tokens, of one, of equal lengths, with the padding token."""
    known = settings_of(folder)
    rng = np.random.default_rng(5)
    lengths = (0, 1, 7, 3, 7, 1, 12, 7, POSITIONS, 2, 0, 5)
    rows = [rng.integers(0, known["vocab_size"], length).tolist() for length in lengths]
    padding = known["pad_token_id"] or 0
    return [*rows, [padding], [9, padding, padding, 8], [padding, 9, 9, padding], [padding] * 3]


def starts_of(rows):
    """Where each text begins in its prompt; in some nothing is left of it."""
    rng = np.random.default_rng(6)
    return [int(rng.integers(0, len(row) + 1)) for row in rows]


def pair_of(folder, attention, pooling="mean", **options):
    """A packed and a padded backend of the same model."""
    model = {"attention": attention}
    packed = backend(folder, pooling, model=model, device="cpu", **options)
    padded = backend(folder, pooling, model=model, device="cpu", attention="sdpa", **options)
    assert packed.packed
    assert not padded.packed
    return packed, padded


def test_every_packable_type_is_compared():
    kinds = {ARCHITECTURES[name].config.model_type for name, _ in CASES}
    assert kinds == set(PACKABLE_TYPES)
    for name in DECODERS:  # keys and values are grouped
        options = ARCHITECTURES[name].options
        assert options["num_key_value_heads"] < options["num_attention_heads"]


@pytest.mark.parametrize("include_instruction", [True, False])
@pytest.mark.parametrize(("name", "attention"), CASES)
def test_packed_equals_padded_and_one_at_a_time(root, name, attention, include_instruction):
    folder = model_folder(root, name)
    rows = rows_of(folder)
    starts = starts_of(rows)
    prompts = prompts_of(rows, starts)
    pooling = side_by_side(include_instruction=include_instruction)
    packed, padded = pair_of(folder, attention, pooling)
    found = embedded(packed, prompts, include_instruction=include_instruction)
    states = states_function(folder, name, attention)
    expected = np.zeros_like(found)
    for place, (row, start) in enumerate(zip(rows, starts, strict=True)):
        kept = states(row)[0 if include_instruction else start :] if row else []
        if len(kept):
            expected[place] = pooled(kept, include_instruction=include_instruction)
    close(found, expected)
    close(found, embedded(padded, prompts, include_instruction=include_instruction))
    assert computed_tokens(packed, prompts) == sum(max(len(row), 1) for row in rows)
    assert computed_tokens(padded, prompts) == POSITIONS * len(rows)


@pytest.mark.parametrize("name", ENCODERS)
def test_packed_logits_equal_padded_and_one_at_a_time(root, tmp_path, name):
    folder = changed(model_folder(root, name), tmp_path / name)
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(3)
    network = transformers.AutoModelForMaskedLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    rows = rows_of(folder)
    packed, padded = pair_of(folder, None, "splade")
    expected = np.zeros((len(rows), config.vocab_size))
    for place, row in enumerate(rows):
        if row:
            with torch.inference_mode():
                logits = network(torch.tensor([row])).logits[0].double().numpy()
            expected[place] = np.log1p(np.maximum(logits, 0)).max(axis=0)
    assert (expected > 0).mean() > 0.2
    found = embedded(packed, prompts_of(rows))
    close(found, expected)
    close(found, embedded(padded, prompts_of(rows)))


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_bfloat16_is_as_near_to_float32_as_when_padded(root, name, attention):
    folder = model_folder(root, name)
    prompts = prompts_of([row for row in rows_of(folder) if row])
    packed, padded = pair_of(folder, attention, dtype="bfloat16")
    exact = embedded(pair_of(folder, attention)[0], prompts)
    found, expected = embedded(packed, prompts), embedded(padded, prompts)

    def distance(a, b):
        return float(np.linalg.norm(a - b) / np.linalg.norm(b))

    assert 0 < distance(found, exact) < 2 * distance(expected, exact)
    assert distance(found, expected) < 3e-2


class TestNeighbours:
    """What stands beside a text in its batch."""

    @pytest.mark.parametrize(("name", "attention"), CASES)
    def test_alone_and_among_others(self, root, name, attention):
        folder = model_folder(root, name)
        rows = rows_of(folder)
        packed, _ = pair_of(folder, attention)
        together = embedded(packed, prompts_of(rows))
        alone = np.concatenate([embedded(packed, prompts_of([row])) for row in rows])
        np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize(("name", "attention"), CASES)
    def test_other_neighbours(self, root, name, attention):
        folder = model_folder(root, name)
        rows = rows_of(folder)
        packed, _ = pair_of(folder, attention)
        before = embedded(packed, prompts_of(rows))
        place = 4  # of three texts of 7 tokens, in one run
        rows[place] = [1 + token // 2 for token in rows[place]]
        after = embedded(packed, prompts_of(rows))
        others = np.arange(len(rows)) != place
        assert np.abs(after[place] - before[place]).max() > 1e-2
        np.testing.assert_allclose(after[others], before[others], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("value", [1e30, np.nan])
    @pytest.mark.parametrize(("name", "attention"), CASES)
    def test_no_token_sees_another_text(self, root, name, attention, value):
        folder = model_folder(root, name)
        rows = [[token for token in row if token != 17] for row in rows_of(folder)]
        packed, _ = pair_of(folder, attention)
        before = embedded(packed, prompts_of(rows))
        with torch.inference_mode():
            packed.network.get_input_embeddings().weight[17] = value
        place = 4
        rows[place] = [17] * len(rows[place])
        after = embedded(packed, prompts_of(rows))
        others = np.arange(len(rows)) != place
        assert not np.allclose(after[place], before[place], atol=1e-2)
        np.testing.assert_allclose(after[others], before[others], rtol=0, atol=1e-6)


class TestWhoIsPacked:
    """The choice, and what is refused."""

    @pytest.mark.parametrize("name", PADDED)
    def test_others_are_padded(self, root, refusal, name):
        folder = model_folder(root, name)
        automatic = backend(folder, device="cpu")
        assert not automatic.packed
        prompts = prompts_of([[9, 8, 7], [9]])
        assert computed_tokens(automatic, prompts) == 6
        self.refused(refusal, folder)

    def refused(self, refusal, folder, **options):
        asked = backend(folder, device="cpu", attention="packed", **options)
        message = refusal(lambda: embedded(asked, prompts_of([[5]])))
        assert message.startswith(f"backend.attention=packed: {settings_of(folder)['model_type']} ")
        assert "backend.attention=auto" in message

    def test_packed_when_asked(self, root):
        each = backend(model_folder(root, "llama"), device="cpu", attention="packed")
        assert each.packed
        assert computed_tokens(each, prompts_of([[9, 8, 7], [9]])) == 4

    @pytest.mark.parametrize("attention", ["sdpa", "eager"])
    def test_padded_when_asked(self, root, attention):
        each = backend(model_folder(root, "llama"), device="cpu", attention=attention)
        assert not each.packed
        assert computed_tokens(each, prompts_of([[9, 8, 7], [9]])) == 6

    def test_padding_on_the_left(self, root, refusal):
        folder = model_folder(root, "llama")
        assert not backend(folder, padding_side="left").packed
        self.refused(refusal, folder, padding_side="left")

    def test_code_of_its_own(self, root, tmp_path, refusal):
        code = {"AutoModel": "modeling_own.OwnModel"}
        folder = changed(model_folder(root, "llama"), tmp_path / "own", auto_map=code)
        assert backend(folder).packed  # its code is not run
        assert not backend(folder, model={"trust_remote_code": True}).packed
        self.refused(refusal, folder, model={"trust_remote_code": True})

    @pytest.mark.parametrize("attention", ["causal", "bidirectional"])
    def test_texts_within_the_window(self, root, tmp_path, refusal, attention):
        folder = changed(model_folder(root, "mistral"), tmp_path / "window", sliding_window=12)
        rng = np.random.default_rng(2)
        rows = [rng.integers(3, 200, length).tolist() for length in (12, 12, 5, 1)]
        model = {"attention": attention, "max_length": 12}
        packed, padded = (
            backend(folder, "last_token", model=model, device="cpu", attention=kernel)
            for kernel in ("packed", "sdpa")
        )
        close(embedded(packed, prompts_of(rows)), embedded(padded, prompts_of(rows)))
        longer = {"max_length": 13}
        assert not backend(folder, model=longer).packed
        self.refused(refusal, folder, model=longer)


@needs_gpu
@pytest.mark.parametrize(("name", "attention"), CASES)
def test_bfloat16_on_a_gpu_is_near_to_float32_on_the_cpu(root, name, attention):
    folder = model_folder(root, name)
    rows = rows_of(folder)
    model = {"attention": attention}
    exact = embedded(backend(folder, model=model, device="cpu"), prompts_of(rows))
    on_gpu = backend(folder, model=model, device="cuda", dtype="bfloat16")
    assert on_gpu.packed
    found = embedded(on_gpu, prompts_of(rows))
    assert np.linalg.norm(found - exact) <= 2e-2 * np.linalg.norm(exact)
