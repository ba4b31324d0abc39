"""An engine without vLLM: states that follow from the token ids, pooled as it is asked to."""

import os

import numpy as np

from harness.errors import BadInputError


class FakeEngine:
    """Token states (id, place, 1) of each prompt, pooled by `LAST`, `CLS`, `MEAN` or `ALL`."""

    def __init__(self, pooling="ALL"):
        self.pooling = pooling
        self.asked = []

    def run(self, rows):
        self.asked += [list(row) for row in rows]
        assert all(rows), "vLLM refuses prompts without tokens"
        return [self._pooled(np.array([(i, at, 1) for at, i in enumerate(row)])) for row in rows]

    def _pooled(self, states):
        states = states.astype(np.float32)
        if self.pooling == "ALL":
            return states
        by_name = {"LAST": states[-1], "CLS": states[0], "MEAN": states.mean(axis=0)}
        return by_name[self.pooling]


class EngineOf(FakeEngine):
    """Also tells by which process it was asked."""

    def run(self, rows):
        return [np.array([*row, os.getpid()], np.float64) for row in rows]


class Failing(FakeEngine):
    """Cannot be loaded."""

    def __init__(self):
        raise BadInputError("vLLM cannot load it; use backend=transformers")


class Dying(FakeEngine):
    """Ends its process on the first prompt."""

    def run(self, rows):
        os._exit(9)
