"""What two processes run: their means of talking to each other, then the command line."""

import os
import signal
import sys

import torch
import torch.distributed

from harness.cli import _main
from harness.training.causal import CausalObjective
from harness.training.worker import Worker

backward = CausalObjective.backward


def pressed(self, decoder, worker, step):
    """Ctrl-C in one process alone, before its third step."""
    if step == 2:
        signal.raise_signal(signal.SIGINT)
    return backward(self, decoder, worker, step)


if __name__ == "__main__":
    worker = Worker("cpu", "float32")
    assert torch.distributed.get_backend() == "gloo"
    assert (worker.count, worker.device) == (2, torch.device("cpu"))
    assert worker.first is (worker.number == 0)
    rows = torch.full((2 - worker.number, 3), float(worker.number))
    assert worker.gather(rows, [2, 1]).tolist() == [[0.0] * 3, [0.0] * 3, [1.0] * 3]
    summed = torch.tensor([1.0, worker.number])
    worker.add([summed])
    assert summed.tolist() == [2.0, 1.0]
    assert worker.any(worker.number == 1)
    assert not worker.any(False)
    if os.environ.get("INTERRUPTED") == os.environ["RANK"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        CausalObjective.backward = pressed
    arguments, sys.argv = sys.argv[1:], ["harness"]
    sys.exit(_main(arguments))
