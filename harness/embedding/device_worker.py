"""A worker: a process of its own that holds the model on one device and embeds what it is sent."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.embedding.devices import is_out_of_memory, release_memory
from harness.embedding.model import EmbeddingModel
from harness.embedding.prompts import Prompts
from harness.errors import BadInputError, brief

if TYPE_CHECKING:
    from harness.config import ModelConfig, PoolingConfig, TransformersBackendConfig
    from harness.embedding.transformers_backend import TransformersBackend

Batch = tuple[NDArray[np.int64], NDArray[np.float32], int]


@dataclass(frozen=True)
class Recipe:
    """What a worker makes its model of.

    Attributes:
        model: The model.
        places: Its folders as they were found, by attribute: a name on the hub may by now mean
            another revision.
        pooling: The pooling.
        backend: The backend on the worker's device, its dtype resolved.
        threads: Threads of a worker on the CPU.
    """

    model: ModelConfig
    places: dict[str, Path | tuple[Path, ...]]
    pooling: PoolingConfig
    backend: TransformersBackendConfig
    threads: int

    def make(self) -> TransformersBackend:
        """The backend, its model loaded.

        Raises:
            BadInputError: If it cannot be.
        """
        import torch

        from harness.config import build

        device = torch.device(self.backend.device)
        if device.type == "cuda":
            # Pinned memory would else take some of the first GPU's.
            torch.cuda.set_device(device.index or 0)
        elif device.type == "cpu":
            torch.set_num_threads(self.threads)
        model = EmbeddingModel(self.model)
        vars(model).update(self.places)
        backend: TransformersBackend = build(self.backend, model=model, pooling=build(self.pooling))
        backend.load()
        return backend


@dataclass(frozen=True)
class Task:
    """A batch to embed; it comes back with its number."""

    number: int
    prompts: Prompts
    include_instruction: bool


@dataclass(frozen=True)
class Loaded:
    """The worker has its model."""


@dataclass(frozen=True)
class Done:
    """A batch is embedded, in several parts where the device had no memory for it at once.

    Attributes:
        number: The batch's.
        parts: Which of its prompts, their float32 embeddings, and the tokens that were computed.
    """

    number: int
    parts: list[Batch]


@dataclass(frozen=True)
class Refused:
    """The user's to mend: what a `BadInputError` said of a batch, or of loading, then no number."""

    number: int | None
    message: str


@dataclass(frozen=True)
class Broken:
    """What the worker dies of."""

    reason: str


def serve(connection: Connection, recipe: Recipe) -> None:
    """A worker's life: load, then embed until there is no one to embed for."""
    inbox: SimpleQueue[Task] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    try:
        _work(connection, inbox, recipe)
    except BadInputError as error:
        _say(connection, Refused(None, str(error)))
    except Exception as error:  # after most errors of CUDA a process can compute nothing more
        _say(connection, Broken(f"{type(error).__name__}: {brief(error)}"))


def _say(connection: Connection, last: Refused | Broken) -> None:
    with suppress(OSError):
        connection.send(last)


def _listen(connection: Connection, inbox: SimpleQueue[Task]) -> None:
    """Take in what is sent, so that the sender never waits; end at once when it has ended."""
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _work(connection: Connection, inbox: SimpleQueue[Task], recipe: Recipe) -> NoReturn:
    backend = recipe.make()
    connection.send(Loaded())
    started: deque[tuple[int, Callable[[], Batch]]] = deque()
    # A GPU is given its next batch before one is read back.
    most = 2 if backend.device.startswith("cuda") else 1

    def answer_one() -> None:
        number, read = started.popleft()
        connection.send(Done(number, [read()]))

    while True:
        if len(started) == most or (started and inbox.empty()):
            answer_one()
            continue
        task = inbox.get()
        read = _started(backend, task)
        if read is not None:
            started.append((task.number, read))
            continue
        while started:
            answer_one()
        release_memory(backend.device)
        connection.send(_in_parts(backend, task))


def _started(backend: TransformersBackend, task: Task) -> Callable[[], Batch] | None:
    """What waits for a batch and gives it; None where the device has no memory for it."""
    try:
        return backend.start(task.prompts, include_instruction=task.include_instruction)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def _in_parts(backend: TransformersBackend, task: Task) -> Done | Refused:
    """A batch that was too large, in as many parts as it takes."""
    parts = backend.embed(task.prompts, include_instruction=task.include_instruction)
    try:
        return Done(task.number, list(parts))
    except BadInputError as error:
        return Refused(task.number, str(error))
