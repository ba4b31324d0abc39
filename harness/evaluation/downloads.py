"""Data of public tasks: from the cache or the hub, and what to say when neither has them."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import TaskFailedError, brief
from harness.text import listed

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask

_SECONDS = 5.0  # to reach the hub's front page
_NOISY = ("huggingface_hub", "datasets", "mteb", "httpx")
_REMEDY = (
    "set HF_ENDPOINT to a mirror, or HF_HOME to a cache that has them, or give folders with "
    "tasks=folder tasks.path=[DIR,…]"
)


class UnreachableDataError(TaskFailedError):
    """A task's data are not in the cache, and no hub answers.

    Attributes:
        dataset: The data set's name on the hub.
    """

    def __init__(self, dataset: str) -> None:
        super().__init__(f"its data set {dataset} is in no cache and no hub answers; {_REMEDY}")
        self.dataset = dataset


class DataLoader:
    """Loads tasks' data; asks once whether there is a hub, and then only where there is one."""

    def __init__(self) -> None:
        self._reachable: bool | None = None

    def load(self, task: AbsTask) -> None:
        """Load a task's data, unless they are loaded.

        Raises:
            UnreachableDataError: If the data are not in the cache and no hub answers.
            TaskFailedError: If a hub answers, but the data cannot be loaded.
        """
        if task.data_loaded:
            return
        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        if self._reachable is None:
            self._reachable = _hub_answers()
            if not self._reachable:
                _stay_offline()
        try:
            task.load_data()
        except Exception as error:
            dataset = str(task.metadata.dataset["path"])
            if not self._reachable:
                raise UnreachableDataError(dataset) from error
            raise TaskFailedError(
                f"its data set {dataset} cannot be loaded ({brief(error)}); {_REMEDY}"
            ) from error


def unreachable_line(missing: Sequence[tuple[str, str]], others: Sequence[str]) -> str:
    """One line on all tasks whose data cannot be had.

    Args:
        missing: (task, data set) of each.
        others: The run's other tasks.
    """
    named = listed([f"{task} ({dataset})" for task, dataset in missing])
    others_line = f"; run all the same: {listed(others)}" if others else ""
    return f"no data for {named}: {_REMEDY}{others_line}"


def _hub_answers() -> bool:
    """Whether the hub, or the mirror that HF_ENDPOINT names, answers at all."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        with urllib.request.urlopen(request, timeout=_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # it answered, if only with an error
    except (OSError, ValueError):
        return False


@contextmanager
def from_cache_only() -> Iterator[None]:
    """Let nothing be fetched from the hub while this lasts."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _stay_offline() -> None:
    """Let the libraries look into their caches only, instead of retrying for minutes."""
    import datasets
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"  # for worker processes
    constants.HF_HUB_OFFLINE = True
    datasets.config.HF_HUB_OFFLINE = True
