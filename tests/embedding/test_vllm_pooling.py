"""vLLM's backend with a stand-in for its engine: what that is given, and how states are pooled."""

import gc
import importlib.util
import multiprocessing
import os

import numpy as np
import pytest

from harness.config import ModelConfig, VllmBackendConfig, build
from harness.config import parse_component as parse
from harness.embedding import vllm_backend as module
from harness.embedding.model import EmbeddingModel
from harness.embedding.vllm_backend import VllmBackend
from harness.embedding.vllm_engine import Replicas, check_installed
from tests.embedding.fake_engine import Dying, EngineOf, Failing, FakeEngine
from tests.embedding.passes import embedded, prompts_of

ROWS = [[7, 3], [], [5], [2, 4, 6, 8], [1, 9, 1], [6]]
STARTS = [1, 0, 0, 2, 0, 1]  # the last one's text has no tokens


@pytest.fixture(autouse=True)
def _no_vllm(monkeypatch):
    monkeypatch.setattr(module, "check_installed", lambda: None)
    monkeypatch.setattr(module, "platform", lambda: "cpu")
    monkeypatch.setattr(module, "release", lambda: "0.32.0")


def backend_of(folder, *, model=None, options=None, **pooling):
    made = VllmBackend(
        VllmBackendConfig(**(options or {})),
        model=EmbeddingModel(ModelConfig(path=str(folder), **(model or {}))),
        pooling=build(parse("pooling", pooling, where="pooling")),
    )
    made.engine = FakeEngine(made._kind)
    made._width = lambda found: 3
    return made


def by_hand(pooling, row, start):
    """What a text is pooled to, by the definition of each pooling."""
    states = np.array([(token, at, 1) for at, token in enumerate(row)], float)[start:]
    if not len(states):
        return np.zeros(3)
    weights = np.arange(1, len(states) + 1)
    return {
        "mean": states.mean(axis=0),
        "weighted_mean": (states * weights[:, None]).sum(axis=0) / weights.sum(),
        "max": states.max(axis=0),
        "last_token": states[-1],
        "eos": states[-1],
        "cls": states[0],
        "bos": states[0],
        "echo": states.mean(axis=0),
    }[pooling]


@pytest.mark.parametrize(
    ("pooling", "include"),
    [
        *((name, True) for name in ("mean", "weighted_mean", "max", "last_token", "eos", "cls")),
        *((name, False) for name in ("mean", "weighted_mean", "max", "last_token", "eos", "cls")),
        ("bos", True),
        ("echo", False),
    ],
)
def test_every_pooling_by_hand(tiny_llama, pooling, include):
    backend = backend_of(tiny_llama, kind=pooling, include_instruction=include)
    found = embedded(backend, prompts_of(ROWS, STARTS), include_instruction=include)
    starts = [0] * len(ROWS) if include else STARTS
    expected = [by_hand(pooling, row, at) for row, at in zip(ROWS, starts, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # The prompts' own ids, longest first, and none without tokens.
    given = backend.engine.asked
    skipped = [[], [6]] if pooling in ("last_token", "eos") and not include else [[]]
    assert sorted(given) == sorted(row for row in ROWS if row not in skipped)
    assert [len(row) for row in given] == sorted(map(len, given), reverse=True)


def test_batches_end_at_a_number_of_tokens(tiny_llama, monkeypatch):
    monkeypatch.setitem(module._TOKENS_AT_ONCE, "cpu", 5)
    backend = backend_of(tiny_llama, kind="mean")
    batches = [
        (rows.tolist(), tokens)
        for rows, _, tokens in backend.embed(prompts_of(ROWS), include_instruction=True)
    ]
    assert batches == [([3], 4), ([4, 0], 5), ([2, 5, 1], 2)]


def test_only_empty_texts(tiny_llama):
    for pooling in ("mean", "max"):
        found = embedded(backend_of(tiny_llama, kind=pooling), prompts_of([[], []]))
        np.testing.assert_array_equal(found, np.zeros((2, 3), np.float32))


def test_an_instruction_that_vllm_would_pool(tiny_llama):
    backend = backend_of(tiny_llama, kind="mean")
    with pytest.raises(ValueError, match="include the instruction"):
        list(backend.embed(prompts_of(ROWS, STARTS), include_instruction=False))


class TestIdentity:
    def test_shares_transformers_places_where_proven(self, tiny_llama):
        backend = backend_of(tiny_llama, kind="mean")
        assert (backend.dtype, backend.space) == ("float32", {})

    @pytest.mark.parametrize("device", ["cpu", "cuda"])
    def test_has_its_own_elsewhere(self, tiny_llama, monkeypatch, device):
        monkeypatch.setattr(module, "platform", lambda: device)
        options = {"dtype": "bfloat16" if device == "cpu" else "auto"}
        backend = backend_of(tiny_llama, kind="mean", options=options)
        assert backend.dtype == "bfloat16"
        assert backend.space == {"backend": "vllm", "vllm": "0.32.0"}


class TestRefusals:
    def test_without_vllm(self, monkeypatch, refusal):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "vllm" else find(name)
        )
        message = refusal(check_installed)
        assert "pip install vllm==0.32.0" in message
        assert "backend=transformers" in message

    def test_before_anything_is_loaded(self, tiny_llama, tiny_bert, refusal):
        assert "pooling=splade" in refusal(lambda: backend_of(tiny_bert, kind="splade"))
        bidirectional = {"attention": "bidirectional"}
        message = refusal(lambda: backend_of(tiny_bert, kind="mean", model=bidirectional))
        assert "not for bert" in message

    def test_narrow_heads_on_a_cpu(self, tiny_bert, refusal):
        backend = backend_of(tiny_bert, kind="mean")
        del backend.engine
        assert "this model's are 4" in refusal(backend.load)

    def test_too_few_gpus(self, tiny_llama, monkeypatch, refusal):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3,5")
        sizes = {"data_parallel_size": 2, "tensor_parallel_size": 2}
        backend = backend_of(tiny_llama, kind="mean", options=sizes)
        assert "needs 4 GPUs, and there are 3" in refusal(backend._shares)


def test_gpus_are_shared_out(tiny_llama, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3,5,6,7")
    sizes = {"data_parallel_size": 2, "tensor_parallel_size": 2}
    assert backend_of(tiny_llama, kind="mean", options=sizes)._shares() == ["0,3", "5,6"]


class TestReplicas:
    def test_answers_come_in_order_from_both(self):
        replicas = Replicas(EngineOf, count=2, devices=None)
        rows = [[5], [4, 4], [3], [2], [1]]
        for some in (rows, rows[:1]):
            answers = replicas.run(some)
            assert [answer[:-1].tolist() for answer in answers] == some
        processes = {int(answer[-1]) for answer in replicas.run(rows)}
        assert len(processes) == 2
        assert os.getpid() not in processes
        del replicas
        gc.collect()
        assert not processes & {child.pid for child in multiprocessing.active_children()}

    def test_one_that_cannot_load(self, refusal):
        message = refusal(lambda: Replicas(Failing, count=1, devices=["0"]))
        assert message == "vLLM cannot load it; use backend=transformers"

    def test_one_that_dies(self, refusal):
        replicas = Replicas(Dying, count=1, devices=["0"])
        assert "ended without a word" in refusal(lambda: replicas.run([[1]]))


def test_device_and_dtype_need_no_model():
    backend = VllmBackend(VllmBackendConfig(dtype="bfloat16"), model=None, pooling=None)
    assert (backend.device, backend.dtype) == ("cpu", "bfloat16")
