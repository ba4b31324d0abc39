"""Workers on several devices, seen from the process that they work for."""

from __future__ import annotations

import gc
import signal
import weakref
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from harness.embedding.child_processes import Child, end_children, start_child
from harness.embedding.device_worker import Broken, Done, Loaded, Recipe, Refused, Task, serve
from harness.errors import BadInputError

DEATHS = 3  # in a row, of a worker or of one batch, and it is not started again


class Died:
    """A worker has died; another one has been started in its place."""


class Crew:
    """One worker for each recipe, known by its place in the list. A dead one is started again."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        """Take the recipes; nothing is started yet."""
        self._recipes = recipes
        self._children: list[Child] = []
        self._loaded: set[int] = set()
        self._deaths = [0] * len(recipes)  # since the last batch was done
        self._said: dict[int, str] = {}  # last words
        self._reasons: dict[int, str] = {}  # of the last death
        self._end = weakref.finalize(self, end_children, self._children)

    @property
    def loaded(self) -> frozenset[int]:
        """The workers that have their model."""
        return frozenset(self._loaded)

    def load(self) -> None:
        """Start the workers, and wait until all of them have their model.

        Raises:
            BadInputError: What one of them says that the user can mend.
        """
        if not self._children:
            gc.collect()  # workers that nobody holds any more make room
        for recipe in self._recipes[len(self._children) :]:  # all, or those an interrupt kept back
            self._children.append(start_child(serve, recipe, daemon=True))
        while len(self._loaded) < len(self._recipes):
            self.wait()

    def send(self, worker: int, task: Task) -> None:
        """Give a batch to a worker that has its model; if it has died meanwhile, `wait` tells."""
        with suppress(OSError):
            self._children[worker].connection.send(task)

    def wait(self) -> list[tuple[int, Done | Refused | Died]]:
        """Wait until something has happened, and say of which workers.

        Raises:
            BadInputError: If a worker cannot load its model, or has died too often.
        """
        workers: dict[Any, int] = {
            child.connection: worker for worker, child in enumerate(self._children)
        }
        events: list[tuple[int, Done | Refused | Died]] = []
        for connection in wait(list(workers)):
            worker = workers[connection]
            try:
                message = self._children[worker].connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
                events.append((worker, Died()))
                continue
            match message:
                case Loaded():
                    self._loaded.add(worker)
                case Broken(reason):
                    self._said[worker] = reason
                case Refused(None, told):
                    self.end()
                    raise BadInputError(told)
                case Done() | Refused():
                    self._deaths[worker] = 0
                    events.append((worker, message))
        return events

    def give_up(self, what: str, worker: int) -> BadInputError:
        """End all workers, and make the error to raise.

        Args:
            what: What has died too often, the subject of the message.
            worker: The one that died last.
        """
        device = self._recipes[worker].backend.device
        message = (
            f"{what} ended {DEATHS} times in a row, the last time on {device} "
            f"({self._reasons[worker]}); name fewer devices in backend.devices, or lower "
            "backend.token_budget"
        )
        self.end()
        return BadInputError(message)

    def end(self) -> None:
        """End all workers; they can be loaded again."""
        end_children(self._children)
        self._children.clear()
        self._loaded.clear()
        self._deaths = [0] * len(self._recipes)

    def _replace(self, worker: int) -> None:
        """Start a worker in place of one that has died.

        Raises:
            BadInputError: If it has died too often.
        """
        dead = self._children[worker]
        end_children([dead])
        said = self._said.pop(worker, "")
        self._reasons[worker] = said or _reason(dead.process.exitcode)
        self._loaded.discard(worker)
        self._deaths[worker] += 1
        if self._deaths[worker] == DEATHS:
            raise self.give_up("a worker", worker)
        self._children[worker] = start_child(serve, self._recipes[worker], daemon=True)


def _reason(status: int | None) -> str:
    """What the exit status of a process tells, in words."""
    if status == -signal.SIGKILL:
        return "killed, as where memory runs out"
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
