"""A device that runs out of memory at every k-th batch."""

import numpy as np
import pytest
import torch

from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError
from tests.embedding.passes import backend, embedded, prompts_of

ROWS = [
    np.random.default_rng(number).integers(3, 60, 4 + number % 29).tolist() for number in range(200)
]


class RunsOut(TransformersBackend):
    """Has no memory at every k-th batch, as where a neighbour takes and returns it."""

    every = 0
    batches = 0
    failures = 0

    def _forward(self, prompts, batch, include_instruction):
        self.batches += 1
        if self.every and self.batches % self.every == 0:
            self.failures += 1
            raise torch.OutOfMemoryError("out of memory")
        return super()._forward(prompts, batch, include_instruction)


@pytest.fixture
def run_out(tiny_llama):
    def make(every, **options):
        found = backend(tiny_llama, cls=RunsOut, device="cpu", token_budget=256, **options)
        found.every = every
        return found

    return make


@pytest.mark.parametrize("attention", ["auto", "sdpa"])
@pytest.mark.parametrize("every", range(2, 8))
def test_every_text_is_embedded_once_and_as_ever(run_out, every, attention):
    prompts = prompts_of(ROWS)
    never = run_out(0, attention=attention)
    vectors = embedded(never, prompts)
    often = run_out(every, attention=attention)
    np.testing.assert_allclose(embedded(often, prompts), vectors, rtol=0, atol=1e-6)
    assert often.failures >= 2
    # Every failure halves the budget, until a batch is one text.
    assert never.batches < often.batches <= len(ROWS) + often.failures


def test_memory_that_never_comes_is_refused(run_out):
    with pytest.raises(BadInputError, match=r"^a text of 32 tokens does not fit into the memory"):
        embedded(run_out(1), prompts_of(ROWS))


def test_a_budget_that_was_lowered_stays_so(run_out):
    """The fourth of five batches fails: half as large, what is left takes three instead of two."""
    often = run_out(4)
    stream = often.embed(prompts_of([[5] * 32] * 36), include_instruction=True)
    assert [tokens for *_, tokens in stream] == [256, 256, 256, 128, 128, 128]
    assert often.failures == 1
