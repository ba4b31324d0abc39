"""The backend against outside truth: sentence-transformers, and transformers one text at a time."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from harness.config import ModelConfig
from harness.embedding.devices import fastest_dtype
from harness.embedding.model import EmbeddingModel
from harness.embedding.prompts import Layout, tokenise
from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError
from harness.progress import say_once
from tests.embedding.passes import backend, close, embedded, prompts_of

TEXTS = [
    "",
    "cat",
    "A cat.",
    "  leading and trailing spaces  ",
    "Zażółć gęślą jaźń",
    "naïve café, Straße, ÅNGSTRÖM",
    "漢字かな交じり文",
    "Привет, мир!",
    "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 🎉🎉",
    "e\u0301 is not \u00e9",
    "\u200b\ufeff",
    "line one\nline two\r\n\ttabbed",
    "\x00 control \x1f characters",
    "[SEP] [MASK] literal",
    "a" * 500,
    "the " * 400,
    "supercalifragilisticexpialidocious " * 60,
    "0123456789 " * 20,
    "!!! ??? ...",
    "def f(x):\n    return x ** 2  # comment",
    "https://example.org/a?b=c&d=e#f",
    "∑ᵢ xᵢ² ≤ 1",
    "ALL CAPS TEXT",
    "The cat sat on the mat.",
    "the cat sat on the mat",
    "Rain is expected in the north tomorrow.",
    "What is the capital of France?",
    "SELECT name FROM cats WHERE age > 3;",
    "Bread needs flour, water, salt and time.",
    "He said \"yes\", then 'no'.",
    "A well-known, state-of-the-art, double-blind test.",
    "3.14159 and 2.71828 and -1e-9",
    "mRNA vaccines encode the SARS-CoV-2 spike protein.",
    "Der Zug fährt um 7:45 Uhr ab.",
    "El niño comió una manzana.",
    "한국어 문장입니다.",
    "हिन्दी में एक वाक्य",
    "x",
    ".",
    "word " * 7,
    "One two three four five six seven eight nine ten. " * 5,
]


def tokenised(folder, texts, max_length=None):
    model = EmbeddingModel(ModelConfig(path=str(folder), max_length=max_length))
    return tokenise(model.tokenizer, texts, Layout(max_length=model.max_length))


def alone(folder, ids):
    """Token states (length, d) of one prompt from plain transformers, without padding."""
    network = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return [network(torch.tensor([row.tolist()])).last_hidden_state[0].numpy() for row in ids]


def test_minilm_equals_sentence_transformers(minilm):
    from sentence_transformers import SentenceTransformer

    folder = EmbeddingModel(minilm).folder
    expected = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, batch_size=7)
    vectors = embedded(backend(folder, device="cpu"), tokenised(folder, TEXTS, max_length=256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert len(TEXTS) >= 40
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_stories_equals_transformers_one_text_at_a_time(stories):
    prompts = tokenised(stories, TEXTS)
    states = alone(stories, prompts.ids)
    position = [np.arange(1, len(state) + 1)[:, None] for state in states]
    expected = {
        "mean": [state.mean(0) for state in states],
        "last_token": [state[-1] for state in states],
        "cls": [state[0] for state in states],
        "max": [state.max(0) for state in states],
        "weighted_mean": [
            (state * weight).sum(0) / weight.sum()
            for state, weight in zip(states, position, strict=True)
        ],
    }
    for pooling, vectors in expected.items():
        found = embedded(backend(stories, pooling, device="cpu"), prompts)
        close(found, np.array(vectors))


@pytest.mark.parametrize("pooling", ["mean", "weighted_mean", "last_token", "cls", "max"])
def test_instruction_tokens_stay_out_when_asked(tiny_llama, pooling):
    rows = [[0, 5, 6, 7, 8], [0, 9], [0, 3, 4], [0]]
    starts, stops = (
        [2, 1, 1, 1],
        [4, 2, 3, 1],
    )  # what follows the first text counts; the last is empty
    prompts = prompts_of(rows, starts, stops)
    found = embedded(backend(tiny_llama, pooling), prompts, include_instruction=False)
    states = alone(tiny_llama, prompts.ids)
    for vector, state, start in zip(found, states, starts, strict=True):
        text = state[start:]
        weight = np.arange(1, len(text) + 1)[:, None]
        expected = {
            "mean": lambda text=text: text.mean(0),
            "weighted_mean": lambda text=text, w=weight: (text * w).sum(0) / w.sum(),
            "last_token": lambda text=text: text[-1],
            "cls": lambda text=text: text[0],
            "max": lambda text=text: text.max(0),
        }[pooling]
        wanted = expected() if len(text) else np.zeros(16)
        close(vector, wanted)


@pytest.fixture(scope="module")
def tiny(tiny_llama, tiny_bert):
    rng = np.random.default_rng(3)
    rows = [rng.integers(0, 60, length).tolist() for length in (0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 4)]
    backends = {folder.name: backend(folder) for folder in (tiny_llama, tiny_bert)}
    return {
        name: (each, rows, np.array([embedded(each, prompts_of([row]))[0] for row in rows]))
        for name, each in backends.items()
    }


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-bert"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(order=st.permutations(range(11)), count=st.integers(1, 11), budget=st.integers(1, 120))
def test_neighbours_order_and_budget_do_not_matter(tiny, name, order, count, budget):
    shared_backend, rows, expected = tiny[name]
    shared_backend.config.token_budget = budget
    order = order[:count]
    found = embedded(shared_backend, prompts_of([rows[i] for i in order]))
    close(found, expected[order])


@pytest.mark.parametrize(("attention", "computed"), [("auto", [10, 9]), ("sdpa", [10, 12])])
def test_batches_come_longest_first_and_count_their_padding(tiny_llama, attention, computed):
    prompts = prompts_of([[1] * 3, [1] * 10, [1] * 4, [1] * 2])
    each = backend(tiny_llama, token_budget=12, attention=attention)
    batches = list(each.embed(prompts, include_instruction=True))
    assert [rows.tolist() for rows, _, _ in batches] == [[1], [2, 0, 3]]
    assert [tokens for _, _, tokens in batches] == computed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only a GPU is read back from late")
@pytest.mark.parametrize("attention", ["auto", "sdpa"])
def test_what_is_read_back_late_is_each_texts_own(tiny_llama, attention):
    rng = np.random.default_rng(8)
    rows = [rng.integers(0, 60, length).tolist() for length in rng.integers(0, 60, 400)]
    options = {"attention": attention, "dtype": "float32"}
    on_gpu = backend(tiny_llama, device="cuda", token_budget=300, **options)
    batches = list(on_gpu.embed(prompts_of(rows), include_instruction=True))
    assert len(batches) > 20
    lengths = [len(rows[row]) for batch, _, _ in batches for row in batch]
    assert lengths == sorted(lengths, reverse=True)
    expected = embedded(backend(tiny_llama, device="cpu", **options), prompts_of(rows))
    found = embedded(on_gpu, prompts_of(rows))  # each text once
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
    for batch, vectors, _ in batches:  # which no later batch has written over
        np.testing.assert_allclose(vectors, found[batch], rtol=0, atol=1e-5)


class TestFasterDtype:
    """A CPU with instructions for bfloat16 that a long pass in float32 does not use."""

    @pytest.fixture(scope="class")
    def long(self):
        return prompts_of([[5] * 50] * 2000)  # 100,000 tokens

    @pytest.fixture(autouse=True)
    def nothing_told_yet(self):
        say_once.cache_clear()

    def told(self, capsys):
        return " ".join(capsys.readouterr().err.split())

    def test_told_once(self, tiny_llama, long, capsys):
        each = backend(tiny_llama, device="cpu")
        list(each.embed(long, include_instruction=True))
        fastest = fastest_dtype("cpu")
        advice = (
            f"this processor has instructions for {fastest}, two to five times as fast as float32"
        )
        assert (advice in self.told(capsys)) == (fastest != "float32")
        for other in (each, backend(tiny_llama, device="cpu")):
            list(other.embed(long, include_instruction=True))
        assert self.told(capsys) == ""

    @pytest.mark.parametrize("dtype", ["fastest", "float32", "bfloat16"])
    def test_not_told_of_a_dtype_that_was_asked_for(self, tiny_llama, long, capsys, dtype):
        list(backend(tiny_llama, device="cpu", dtype=dtype).embed(long, include_instruction=True))
        assert self.told(capsys) == ""

    def test_not_told_of_a_short_pass(self, tiny_llama, long, capsys):
        short = long.select(np.arange(1999))
        list(backend(tiny_llama, device="cpu").embed(short, include_instruction=True))
        assert self.told(capsys) == ""


def test_no_prompts_load_no_model(tmp_path):
    assert list(backend(tmp_path).embed(prompts_of([]), include_instruction=True)) == []


class Small(TransformersBackend):
    """Runs out of memory above so many tokens, padding included."""

    tokens = 20
    error: BaseException = torch.OutOfMemoryError("CUDA out of memory.")

    def _forward(self, prompts, batch, include_instruction):
        self.attempts = [*getattr(self, "attempts", []), batch.tolist()]
        if self._computed(prompts.ids.lengths[batch]) > self.tokens:
            raise self.error
        return super()._forward(prompts, batch, include_instruction)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("attention", ["packed", "sdpa"])
def test_out_of_memory_halves_the_batch(tiny_llama, monkeypatch, error, attention):
    monkeypatch.setattr(Small, "error", error)
    rows = [[i % 50] * (1 + i % 9) for i in range(30)]
    small = backend(tiny_llama, cls=Small, token_budget=1000, attention=attention)
    found = embedded(small, prompts_of(rows))
    expected = embedded(backend(tiny_llama), prompts_of(rows))
    close(found, expected)
    # the smaller budget holds for all later batches: failures stop once one batch has passed
    lengths = np.array([len(row) for row in rows])
    sizes = [small._computed(lengths[batch]) for batch in small.attempts]
    failed = [size > Small.tokens for size in sizes]
    assert failed[0]
    assert failed == sorted(failed, reverse=True)
    assert len(small.attempts) < len(rows)


def test_a_single_text_that_does_not_fit(tiny_llama):
    stream = backend(tiny_llama, cls=Small, token_budget=100).embed(
        prompts_of([[1] * 5, [2] * 21]), include_instruction=True
    )
    with pytest.raises(BadInputError, match="a text of 21 tokens") as error:
        list(stream)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), KeyError("x")])
def test_other_errors_propagate(tiny_llama, monkeypatch, error):
    monkeypatch.setattr(Small, "error", error)
    stream = backend(tiny_llama, cls=Small).embed(prompts_of([[1] * 30]), include_instruction=True)
    with pytest.raises(type(error), match=str(error.args[0])):
        list(stream)


def test_an_error_of_the_consumer_is_not_taken_for_the_devices(tiny_llama):
    stream = backend(tiny_llama).embed(prompts_of([[1], [2]]), include_instruction=True)
    next(stream)
    with pytest.raises(RuntimeError, match="out of memory"):
        stream.throw(RuntimeError("out of memory"))


class TestLoading:
    @pytest.fixture
    def copy(self, tmp_path, tiny_bert):
        return shutil.copytree(tiny_bert, tmp_path / "copy")

    def refusal(self, folder, **options):
        with pytest.raises(BadInputError) as error:
            backend(folder, **options).load()
        assert "\n" not in str(error.value)
        return str(error.value)

    def test_evaluation_mode_on_the_device_in_the_dtype(self, copy):
        loaded = backend(copy, device="cpu", dtype="bfloat16")
        assert not loaded.network.training
        assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.bfloat16}
        vectors = embedded(loaded, prompts_of([[5, 6, 7]]))
        exact = embedded(backend(copy, dtype="float32"), prompts_of([[5, 6, 7]]))
        np.testing.assert_allclose(vectors, exact, atol=0.1)
        assert not np.array_equal(vectors, exact)

    def test_automatic_choices(self, copy, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert (backend(copy).device, backend(copy).dtype) == ("cpu", "float32")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert (backend(copy).device, backend(copy).dtype) == ("cuda", "bfloat16")
        assert backend(copy, dtype="float16").dtype == "float16"

    @pytest.mark.parametrize("size", [0, 7, 3000])
    def test_damaged_weights(self, copy, size):
        file = copy / "model.safetensors"
        file.write_bytes(file.read_bytes()[:size])
        assert str(copy) in self.refusal(copy)

    def test_missing_weights_are_not_made_up(self, copy):
        weights = load_file(copy / "model.safetensors")
        lost = "bert.encoder.layer.1.attention.self.query.weight"
        del weights[lost]
        save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
        assert "encoder.layer.1.attention.self.query.weight" in self.refusal(copy)

    def test_a_missing_pooler_is_not_missed(self, copy):
        # A masked language model has none; AutoModel makes one.
        assert not any("pooler" in name for name in load_file(copy / "model.safetensors"))
        backend(copy).load()

    def test_weights_of_another_shape(self, copy):
        settings = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(settings | {"intermediate_size": 31}))
        assert str(copy) in self.refusal(copy)

    @pytest.mark.parametrize("change", [{"model_type": "no-such-type"}, {"model_type": None}])
    def test_unknown_architecture(self, copy, change):
        settings = json.loads((copy / "config.json").read_text())
        del settings["architectures"]
        (copy / "config.json").write_text(json.dumps(settings | change))
        assert str(copy) in self.refusal(copy)

    def test_unknown_attention(self, copy):
        assert "attention" in self.refusal(copy, attention="no-such-attention")

    def test_an_architecture_without_this_attention(self, tmp_path):
        config = transformers.MPNetConfig(
            vocab_size=9,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
        )
        transformers.MPNetModel(config).save_pretrained(tmp_path)
        assert "try backend.attention=eager" in self.refusal(tmp_path, attention="sdpa")
        backend(tmp_path, attention="eager").load()
        backend(tmp_path).load()

    @pytest.mark.parametrize("device", ["gpu", "meta", "cuda:x", ""])
    def test_unknown_device(self, copy, device):
        assert "backend.device=" in self.refusal(copy, device=device)

    def test_device_that_is_not_there(self, copy, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert "backend.device=cpu" in self.refusal(copy, device="cuda:1")
        assert "backend.device=cpu" in self.refusal(copy, device="mps")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert "2 GPUs" in self.refusal(copy, device="cuda:2")

    def test_transformers_is_as_loud_as_before(self, copy, capsys):
        from transformers.utils import logging

        before = logging.get_verbosity(), logging.is_progress_bar_enabled()
        backend(copy).load()
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
        logging.disable_progress_bar()
        try:
            backend(copy).load()
            assert not logging.is_progress_bar_enabled()
        finally:
            logging.enable_progress_bar()
        assert capsys.readouterr() == ("", "")
