"""The rate of encoding: measured on a sample, with a clock and an encoder that are made up."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from harness.config import TasksConfig
from harness.cost.flops import QuadraticFlops
from harness.evaluation import forecast as forecasting
from harness.evaluation.forecast import Forecast, encoding_rate, forecast
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.evaluation.tasks.sizes import TaskSize, task_size

FORWARD = QuadraticFlops(linear=3.0, quadratic=2.0, constant=5.0)


class Encoder:
    """Texts of one token a character, each pass of a given time; what it was asked stays here."""

    def __init__(self, seconds, monkeypatch):
        self.now = 100.0
        self.passes = []
        self.loaded = 0
        self.waited = 0
        self._seconds = list(seconds)
        self.backend = SimpleNamespace(load=self._load, synchronise=self._wait)
        monkeypatch.setattr(forecasting.time, "perf_counter", lambda: self.now)

    def _load(self):
        self.loaded += 1
        self.now += 1000.0

    def _wait(self):
        """The device lags behind: half of a pass's time is only seen by waiting for it."""
        self.waited += 1
        self.now += self._owed / 2

    def fresh(self, ids, texts, side):
        assert self.loaded == 1
        assert side == "document"
        assert len(set(ids)) == len(ids) == len(set(texts)) == len(texts)
        outer = self

        class Made:
            @property
            def pooled(self):
                outer._owed = outer._seconds[len(outer.passes)]
                outer.now += outer._owed / 2
                outer.passes.append(texts)

            @property
            def lengths(self):
                assert outer.passes[-1] is texts
                return np.array([len(text) for text in texts])

        self.now += 50.0  # making the texts is not encoding them
        return Made()


def flops(texts):
    return sum(5 + 3 * len(text) + 2 * len(text) ** 2 for text in texts)


def test_the_fastest_sample_counts_and_the_warm_up_does_not(monkeypatch):
    encoder = Encoder([1e-9, 0.4, 0.1, 0.2, 0.3, 0.4], monkeypatch)
    rate = encoding_rate(encoder, FORWARD, characters=100.0)
    assert [len(texts) for texts in encoder.passes] == [4, 4, 16, 32, 64, 128]
    rates = [
        flops(texts) / seconds
        for texts, seconds in zip(encoder.passes, [1e-9, 0.4, 0.1, 0.2, 0.3, 0.4], strict=True)
    ]
    assert rate == pytest.approx(max(rates[1:]))
    assert encoder.waited == 6


def test_the_fastest_need_not_be_the_last(monkeypatch):
    encoder = Encoder([1.0, 0.4, 0.001, 0.2, 0.3, 0.4], monkeypatch)
    rate = encoding_rate(encoder, FORWARD, characters=100.0)
    assert rate == pytest.approx(flops(encoder.passes[2]) / 0.001)


def test_a_slow_device_is_asked_little(monkeypatch):
    encoder = Encoder([9.0, 0.7, 0.9, 3.0], monkeypatch)
    encoding_rate(encoder, FORWARD, characters=100.0)
    assert [len(texts) for texts in encoder.passes] == [4, 4, 16]


@pytest.mark.parametrize("characters", [40.0, 100.0, 4321.0])
def test_texts_are_of_half_to_one_and_a_half_times_the_length(monkeypatch, characters):
    encoder = Encoder([0.01] * 6, monkeypatch)
    encoding_rate(encoder, FORWARD, characters=characters)
    for texts in encoder.passes:
        lengths = [len(text) for text in texts]
        assert lengths == sorted(lengths)
        assert lengths[0] == int(characters / 2)
        assert lengths[-1] == int(characters * 1.5)
        assert np.mean(lengths) == pytest.approx(characters, abs=1)


SIZES = [
    TaskSize("STS", ("test",), ("default",), 40, 0, 4000, ((10, 100.0), (30, 20.0))),
    TaskSize("Retrieval", ("test",), ("default",), 60, 0, 600, ((60, 10.0),)),
]


def test_the_rate_is_of_texts_as_long_as_the_tasks(run_config, tiny_bert, monkeypatch):
    asked = []

    def rate(encoder, forward, *, characters):
        asked.append(characters)
        return 3.4e12

    monkeypatch.setattr(forecasting, "encoding_rate", rate)
    config = run_config("model=local", f"model.path={tiny_bert}", "backend.dtype=float32")
    found = forecast(config, SIZES)
    assert asked == [(10 * 100 + 30 * 20 + 60 * 10) / 100]
    assert found.flops_per_second == 3.4e12
    assert found.max_length == 64
    assert found.note == (
        "local/tiny-bert on cpu in float32: 3,400 GFLOP/s, measured on a sample; 4.5 characters a "
        "token, texts cut at 64 tokens"
    )
    # Two layers of BERT on one token: 16·16·4 of attention and 16·32·2, two FLOPs each.
    assert found.forward.linear == 2 * 2 * (4 * 16 * 16 + 2 * 16 * 32)


def test_nothing_to_encode_measures_nothing(run_config, tiny_bert, monkeypatch):
    monkeypatch.setattr(forecasting, "encoding_rate", lambda *_, **__: pytest.fail("measured"))
    config = run_config("model=local", f"model.path={tiny_bert}")
    found = forecast(config, [])
    assert (found.flops_per_second, found.max_length) == (None, 64)
    assert found.note == "local/tiny-bert: no time is measured"
    assert found.forward is not None


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["model.path=/nowhere"], "/nowhere"),
        (["model=hf", "model.name=no/such-model"], "no/such-model"),
    ],
)
def test_without_a_model_there_is_a_note(run_config, overrides, says):
    found = forecast(run_config(*overrides), SIZES)
    assert (found.forward, found.max_length, found.flops_per_second) == (None, 512, None)
    assert found.note.startswith("no FLOPs and no time: ")
    assert says in found.note


def test_a_device_that_is_not_there_is_a_note(run_config, tiny_bert):
    config = run_config("model=local", f"model.path={tiny_bert}", "backend.device=cuda:77")
    found = forecast(config, SIZES)
    assert found.flops_per_second is None
    assert found.note.startswith("no ")
    assert "cuda:77" in found.note


def test_a_real_model_has_a_rate(run_config):
    """MiniLM: counted FLOPs over real time, of the embedded collection's lengths."""
    config = run_config("tasks.path=null")
    tasks = [resolve_tasks(TasksConfig(names=["STSBenchmark"]), cache_dir=config.store_dir)[0]]
    found = forecast(config, [task_size(task) for task in tasks])
    assert isinstance(found, Forecast)
    assert 1e8 < found.flops_per_second < 1e16
    assert math.isfinite(found.flops_per_second)
    assert found.max_length == 256
    # Six layers, 384 wide, 1536 in between.
    assert found.forward.linear == 6 * 2 * (4 * 384**2 + 2 * 384 * 1536)
    assert f"{found.flops_per_second / 1e9:,.0f} GFLOP/s" in found.note
