"""vLLM against transformers: embeddings, token states and scores of tiny random models.

`make test-vllm` makes an environment with vLLM for CPUs and runs these there.
"""

import gc
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

if importlib.util.find_spec("vllm") is None:
    pytest.skip("vLLM is not installed here; make test-vllm", allow_module_level=True)

import numba  # noqa: F401  # vLLM once stumbled over it; in a run, search has imported it

from harness.alignment.head import normalise
from harness.alignment.linear import LmHead
from harness.config import (
    InstructionConfig,
    ModelConfig,
    TransformersBackendConfig,
    VllmBackendConfig,
    build,
)
from harness.config import parse_component as parse
from harness.embedding import vllm_rules as rules
from harness.embedding.encoder import TextEncoder
from harness.embedding.instructions import Template
from harness.embedding.model import EmbeddingModel
from harness.embedding.transformers_backend import TransformersBackend
from harness.embedding.vllm_backend import VllmBackend
from tests.embedding.passes import embedded, prompts_of
from tests.embedding.tiny import (
    TEXTS,
    allowed,
    expected_states,
    masked_states,
    model_folder,
    plain_network,
)
from tests.embedding.wide import wide_folder, write_adapter

TOLERANCE = 1e-4
TEMPLATE = InstructionConfig(query="Query of the cat: {text} the end.", document="{text}")
ECHO = InstructionConfig(query="Again: {text}, {text}", document="{text} {text}")

POOLINGS = {
    "mean": {},
    "mean_of_text": {"kind": "mean", "include_instruction": False},
    "weighted_mean": {},
    "weighted_mean_of_text": {"kind": "weighted_mean", "include_instruction": False},
    "max": {},
    "max_of_text": {"kind": "max", "include_instruction": False},
    "last_token": {},
    "eos": {},
    "cls": {},
    "cls_of_text": {"kind": "cls", "include_instruction": False},
    "bos": {},
    "echo": {},
    "echo_weighted": {"kind": "echo", "of": "weighted_mean"},
    "echo_last": {"kind": "echo", "of": "last_token"},
}


class Pair:
    """One model in both backends; engines of vLLM are kept for other poolings."""

    def __init__(self, folder: Path, cache: Path, **model):
        self.folder = folder
        self.cache = cache
        self.options = {"path": str(folder), **model}
        self.engines = {}

    def encoders(self, pooling, template=TEMPLATE, **options):
        """An encoder with transformers and one with vLLM."""
        settings = parse("pooling", {"kind": pooling, **POOLINGS[pooling]}, where="pooling")
        template = ECHO if settings.kind == "echo" else template
        made = []
        for backend in (
            TransformersBackend(TransformersBackendConfig(dtype="float32"), **self._of(settings)),
            VllmBackend(
                VllmBackendConfig(**{"dtype": "float32", **options}),
                **self._of(settings),
                memory=self.cache / "budgets",
            ),
        ):
            made.append(
                TextEncoder(
                    model=backend._model,
                    pooling=settings,
                    template=Template(template, copies=settings.copies),
                    backend=backend,
                    store_dir=self.cache,
                )
            )
        kind = rules.pooling_type(settings)
        if not options:
            if kind not in self.engines:
                self.engines[kind] = backend.engine
            backend.engine = self.engines[kind]
        return made

    def _of(self, pooling):
        return {"model": EmbeddingModel(ModelConfig(**self.options)), "pooling": build(pooling)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("vllm")


@pytest.fixture
def pair_of(root):
    """Makes a pair; its engines end with the test."""
    made = []

    def make(name, **model):
        folder = name if isinstance(name, Path) else wide_folder(root, name)
        made.append(Pair(folder, root / "store", **model))
        return made[-1]

    yield make
    for pair in made:
        pair.engines.clear()
    gc.collect()


def texts_of(encoder, side="query"):
    return encoder.fresh([str(row) for row in range(len(TEXTS))], TEXTS, side)


def difference(encoders, side="query", *, alike=False):
    """The largest difference of both encoders' embeddings, which differ from text to text."""
    ours, theirs = (texts_of(encoder, side).pooled for encoder in encoders)
    assert ours.shape == theirs.shape
    assert alike or np.abs(ours[2] - ours[7]).max() > 0.01
    return float(np.abs(ours - theirs).max())


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "bert"])
def test_every_pooling(pair_of, name):
    pair = pair_of(name)
    unnamed = {"qwen2": {"bos"}, "qwen3": {"bos"}, "bert": {"bos", "eos"}}  # by their tokenizers
    for pooling in sorted(POOLINGS.keys() - unnamed.get(name, set())):
        encoders = pair.encoders(pooling)
        # A causal model's first token sees no text.
        alike = name != "bert" and pooling in ("cls", "bos", "cls_of_text")
        found = [difference(encoders, side, alike=alike) for side in ("query", "document")]
        print(f"{name:8} {pooling:22} {max(found):.1e}")
        assert max(found) < TOLERANCE, pooling
        assert encoders[0].space("query") == encoders[1].space("query")


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3"])
def test_bidirectional_attention(pair_of, name):
    pair = pair_of(name, attention="bidirectional")
    for pooling in ("mean", "mean_of_text", "weighted_mean", "last_token", "cls_of_text"):
        encoders = pair.encoders(pooling)
        found = difference(encoders)
        print(f"{name:8} {pooling:22} both ways {found:.1e}")
        assert found < TOLERANCE, pooling
        assert encoders[0].space("query") == encoders[1].space("query")


@pytest.mark.parametrize("name", ["mistral_sliding", "llama3_rope"])
def test_windows_and_other_positions(pair_of, name):
    pair = pair_of(name)
    for pooling in ("mean", "last_token", "mean_of_text"):
        encoders = pair.encoders(pooling)
        found = difference(encoders, "document")
        print(f"{name:15} {pooling:15} {found:.1e}")
        assert found < TOLERANCE
        assert encoders[0].space("query") == encoders[1].space("query")


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_against_plain_transformers(pair_of, attention):
    """No code of ours on the other side: one text at a time, masks made by hand."""
    pair = pair_of("llama", attention=attention)
    backend = pair.encoders("mean")[1].backend
    rows = [[5, 6, 7], [1], list(range(40)), [300, 20, 200, 9]]
    found = embedded(backend, prompts_of(rows))
    if attention == "causal":
        states = expected_states(pair.folder, "llama", attention)
    else:
        network = plain_network(pair.folder)

        def states(ids):
            return masked_states(network, "llama", ids, allowed("llama", attention, len(ids)))

    expected = [states(row).mean(axis=0) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_a_chain_of_adapters(pair_of, root):
    base = wide_folder(root, "llama")
    chain = [root / "first", root / "second"]
    for seed, folder in enumerate(chain):
        if not folder.is_dir():
            write_adapter(folder, base, seed=seed)
    adapters = [str(folder) for folder in chain]
    pair = pair_of("llama", adapters=adapters, attention="bidirectional")
    encoders = pair.encoders("mean_of_text")
    found = difference(encoders)
    print(f"llama with two adapters {found:.1e}")
    assert found < TOLERANCE
    bare = pair_of("llama", attention="bidirectional").encoders("mean_of_text")[0]
    moved = texts_of(encoders[1]).pooled - texts_of(bare).pooled
    assert np.abs(moved).max() > 0.1
    assert encoders[0].space("query") == encoders[1].space("query")
    # Stacked matrices are more work than merged ones.
    assert encoders[0].flops_beside_backbone.at(np.array([10]))[0] > 0
    assert encoders[1].flops_beside_backbone.at(np.array([10]))[0] == 0


def test_dense_layers_are_applied_once(pair_of, root):
    source = wide_folder(root, "llama")
    folder = root / "with-dense"
    (folder / "2_Dense").mkdir(parents=True)
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {
                    "idx": n,
                    "name": str(n),
                    "path": path,
                    "type": f"sentence_transformers.models.{m}",
                }
                for n, (path, m) in enumerate(modules)
            ]
        )
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 128, "pooling_mode_mean_tokens": True})
    )
    linear = {"in_features": 128, "out_features": 24, "bias": False}
    activation = {"activation_function": "torch.nn.modules.linear.Identity"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(linear | activation))
    weight = np.random.default_rng(0).normal(size=(24, 128)).astype(np.float32)
    save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    encoders = pair_of(folder).encoders("mean")
    assert difference(encoders) < TOLERANCE
    ours, theirs = (texts_of(encoder) for encoder in encoders)
    assert theirs.pooled.shape[1] == 128
    assert theirs.embeddings.shape[1] == 24
    np.testing.assert_allclose(theirs.embeddings, theirs.pooled @ weight.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose(theirs.embeddings, ours.embeddings, rtol=0, atol=2e-3)


class TestTrained:
    """A trained Llama with narrow heads, and the unembedding matrix that vLLM drops."""

    @pytest.fixture
    def encoders(self, pair_of, stories):
        return pair_of(stories, max_length=256).encoders("mean")

    def test_embeddings(self, encoders):
        assert difference(encoders) < TOLERANCE
        assert encoders[0].space("query") == encoders[1].space("query")

    def test_scores(self, encoders):
        dense, logits = [], []
        for encoder in encoders:
            head = LmHead(parse("head", {"kind": "lm_head"}, where="head"), encoder=encoder)
            query, document = texts_of(encoder, "query"), texts_of(encoder, "document")
            head.fit(document)
            # Not normalised: the head reads what the model's own would.
            assert np.abs(np.linalg.norm(document.pooled, axis=1) - 1).max() > 0.1
            dense.append(normalise(query.embeddings) @ normalise(document.embeddings).T)
            logits.append(head.project(head.read(document)) @ head.matrix.T)
        np.testing.assert_allclose(dense[0], dense[1], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(logits[0], logits[1], rtol=0, atol=TOLERANCE * 10)
        top = [np.argsort(-scores, axis=1)[:, 0] for scores in logits]
        np.testing.assert_array_equal(*top)


def test_bfloat16_has_places_of_its_own(pair_of):
    encoders = pair_of("llama").encoders("mean", dtype="bfloat16")
    exact, rough = (texts_of(encoder).pooled for encoder in encoders)
    assert 1e-4 < np.abs(exact - rough).max() < 0.3
    assert encoders[1].space("query")["backend"] == "vllm"
    assert encoders[0].space("query") != encoders[1].space("query")


def test_two_copies_share_the_texts(pair_of):
    encoders = pair_of("llama").encoders("mean", data_parallel_size=2)
    assert difference(encoders) < TOLERANCE


def test_what_vllm_does_not_know(pair_of, refusal, root):
    message = refusal(lambda: pair_of(model_folder(root, "gpt_neo")).encoders("mean"))
    assert "vLLM cannot load" in message
    assert "backend=transformers" in message


@pytest.mark.slow
def test_compiled(pair_of):
    assert difference(pair_of("llama").encoders("mean", enforce_eager=False)) < TOLERANCE
