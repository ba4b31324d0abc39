"""The loop of training: batch, gradient, step; log, validation, checkpoint."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import TaskFailedError
from harness.interrupts import first_interrupt_held
from harness.progress import progress_bar, say
from harness.training.checkpoint import Checkpoint, Progress, write_log
from harness.training.optimiser import Optimiser
from harness.training.schedule import learning_rate

if TYPE_CHECKING:
    from harness.config import StepConfig
    from harness.training.network import Decoder
    from harness.training.objective import Objective
    from harness.training.worker import Worker

_LOG_EVERY = 20


def train(
    objective: Objective,
    decoder: Decoder,
    worker: Worker,
    config: StepConfig,
    *,
    folder: Path,
    checkpoint: Checkpoint,
    name: str,
) -> list[dict[str, Any]]:
    """Make all steps, from the checkpoint on where there is one.

    Args:
        objective: What is minimised.
        decoder: The network, on the worker's device.
        worker: This process.
        config: The step's settings.
        folder: Where the log goes, and is renewed at every checkpoint.
        checkpoint: Where a cut-off run goes on.
        name: For the progress bar.

    Returns:
        The log: one mapping a line with `step`, `loss` (mean since the last line, nats),
        `learning_rate`, `gradient_norm`, `tokens` and `seconds` in all, `tokens_per_second` since
        the last line, and `validation` where it was taken.

    Raises:
        TaskFailedError: If a loss or a gradient is not finite.
        KeyboardInterrupt: After Ctrl-C; a checkpoint is kept.
    """
    optimiser = Optimiser(
        decoder.trained,
        weight_decay=config.weight_decay,
        embedding_rate=config.embedding_rate,
        muon=config.optimiser == "muon",
        embeddings=decoder.trained_embeddings,
        head=decoder.trained_head,
        center_head=config.center_head,
    )
    progress = Progress()
    if (kept := checkpoint.read()) is not None:
        progress, state = kept
        optimiser.load(state, progress.steps)
        if worker.first:
            say(f"{name}: goes on after step {progress.steps:,} of {objective.steps:,}")
    start, log, clock = progress.steps, progress.log, _Clock(progress)
    decoder.network.train()
    stopped = False
    with first_interrupt_held() as interrupted, _bar(name, objective.steps, worker) as advance:
        advance(start, 0)
        for step in range(start, objective.steps):
            worker.seed(config.seed, step)
            loss, tokens = objective.backward(decoder, worker, step)
            loss, tokens = _summed(worker, loss, tokens)
            _require_finite(loss, f"{name}: the loss of step {step}")
            worker.add(optimiser.gradients())
            rate = learning_rate(
                step, steps=objective.steps, peak=config.learning_rate, warmup=config.warmup
            )
            norm = optimiser.step(rate, config.clip)
            _require_finite(norm, f"{name}: the gradient of step {step}")
            clock.count(loss, tokens)
            advance(1, tokens)
            last = step + 1 == objective.steps
            if last or (step + 1) % config.validate_every == 0:
                score = _validated(objective, decoder, worker)
                _require_finite(score or 0.0, f"{name}: the validation loss after step {step}")
                log.append(clock.line(step + 1, rate, norm) | {"validation": score})
            elif (step + 1) % _LOG_EVERY == 0:
                log.append(clock.line(step + 1, rate, norm))
            # Processes are signalled one after the other, and leave after the same step.
            stopped = worker.any(interrupted())
            if stopped or (not last and clock.due(config.checkpoint_seconds)):
                if worker.first:
                    checkpoint.write(Progress(step + 1, log, clock.pending()), optimiser.state())
                    write_log(folder, log)
                if stopped:
                    worker.wait()  # one that leaves has its launcher end the others
                    break
    if stopped:  # here, or in another process alone
        raise KeyboardInterrupt
    if worker.first:
        write_log(folder, log)
    return log


class _Clock:
    """Counts losses, tokens and seconds since the last line and in all."""

    def __init__(self, progress: Progress) -> None:
        last, pending = progress.log[-1] if progress.log else {}, progress.pending
        self._tokens, self._seconds = last.get("tokens", 0), last.get("seconds", 0.0)
        self._losses: list[float] = list(pending.get("losses", []))
        self._since: int = pending.get("tokens", 0)
        self._written = time.monotonic()
        self._start = self._written - pending.get("seconds", 0.0)

    def count(self, loss: float, tokens: int) -> None:
        self._losses.append(loss)
        self._since += tokens

    def pending(self) -> dict[str, Any]:
        """What no line tells of yet."""
        passed = time.monotonic() - self._start
        return {"losses": list(self._losses), "tokens": self._since, "seconds": passed}

    def line(self, step: int, rate: float, norm: float) -> dict[str, Any]:
        now = time.monotonic()
        passed = max(now - self._start, 1e-9)
        self._tokens += self._since
        self._seconds += passed
        line = {
            "step": step,
            "loss": sum(self._losses) / max(len(self._losses), 1),
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens": self._tokens,
            "seconds": round(self._seconds, 3),
            "tokens_per_second": round(self._since / passed, 1),
        }
        self._losses, self._since, self._start = [], 0, now
        return line

    def due(self, seconds: float) -> bool:
        """Whether so much time has passed since this was last answered with yes."""
        if time.monotonic() - self._written < seconds:
            return False
        self._written = time.monotonic()
        return True


def _validated(objective: Objective, decoder: Decoder, worker: Worker) -> float | None:
    decoder.network.eval()
    try:
        return objective.validate(decoder, worker)
    finally:
        decoder.network.train()


def _require_finite(number: float, what: str) -> None:
    if not math.isfinite(number):
        raise TaskFailedError(
            f"{what} is not finite; lower train.learning_rate, or set train.dtype=float32"
        )


def _summed(worker: Worker, loss: float, tokens: int) -> tuple[float, int]:
    """Over all processes."""
    if worker.count == 1:
        return loss, tokens
    import torch

    both = torch.tensor([loss, tokens], dtype=torch.float64)
    both = both.to(worker.device)
    worker.add([both])
    return float(both[0]), int(both[1])


def _bar(name: str, steps: int, worker: Worker) -> Any:
    if worker.first:
        return progress_bar(name, steps, unit="tokens")
    from contextlib import nullcontext

    return nullcontext(lambda texts, units: None)
