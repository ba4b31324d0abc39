"""Which worker does which batch of a pass: bookkeeping on arrays, no process is touched here."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.embedding.batching import longest_first, next_batch

_NUMBERS = itertools.count()  # an answer that comes after its pass has ended belongs to no other


@dataclass(eq=False)
class Job:
    """A batch.

    Attributes:
        number: No other batch of this process has it.
        rows: int64 (texts,), which prompts.
        deaths: How many workers have died of it.
    """

    number: int
    rows: NDArray[np.int64]
    deaths: int = 0


class Fleet:
    """Shares the batches of one pass out among workers, so that every text is done once.

    A batch is formed when a worker has room for it, from the longest texts that are left: which
    texts it holds does not depend on how many workers there are or how fast they are. A worker
    does its batches in the order in which it was given them.
    """

    def __init__(
        self, lengths: NDArray[np.int64], *, token_budget: int, packed: bool, ahead: int
    ) -> None:
        """Begin a pass.

        Args:
            lengths: Tokens of each prompt.
            token_budget: Most tokens of a batch.
            packed: Whether texts are put one after the other instead of padded.
            ahead: Most batches that a worker is given before it has answered any of them.
        """
        self._order = longest_first(lengths)
        self._descending = lengths[self._order]
        self._begun = 0
        self._budget = token_budget
        self._packed = packed
        self._ahead = ahead
        self._returned: deque[Job] = deque()
        self._under_way: dict[int, dict[int, Job]] = {}

    @property
    def is_done(self) -> bool:
        """Whether all texts are done."""
        left = self._begun < len(self._order) or self._returned
        return not left and not any(self._under_way.values())

    def assign(self, workers: Collection[int]) -> Iterator[tuple[int, Job]]:
        """Give batches out until nothing is left or no worker has room.

        Args:
            workers: Those that may be given some.

        Yields:
            A worker and its next batch; whoever has the fewest comes first.
        """
        while workers:
            worker = min(workers, key=lambda each: len(self._under_way.get(each, ())))
            jobs = self._under_way.setdefault(worker, {})
            job = None if len(jobs) >= self._ahead else self._next()
            if job is None:
                return
            jobs[job.number] = job
            yield worker, job

    def done(self, worker: int, number: int) -> Job | None:
        """Note that a worker has done a batch: that batch; None if it is none of this pass."""
        return self._under_way.get(worker, {}).pop(number, None)

    def lost(self, worker: int) -> Job | None:
        """Take back the batches of a worker that has died; they are the next to be given out.

        Returns:
            The one that it was at, one death older; None if it had none.
        """
        jobs = list(self._under_way.pop(worker, {}).values())
        self._returned.extendleft(reversed(jobs))
        if not jobs:
            return None
        jobs[0].deaths += 1
        return jobs[0]

    def lower(self, token_budget: int) -> None:
        """No new batch above so many tokens: a device ran out of memory."""
        self._budget = min(self._budget, token_budget)

    def _next(self) -> Job | None:
        if self._returned:
            return self._returned.popleft()
        if self._begun == len(self._order):
            return None
        left = self._descending[self._begun :]
        count = next_batch(left, self._budget, packed=self._packed)
        rows = self._order[self._begun : self._begun + count]
        self._begun += count
        return Job(next(_NUMBERS), rows)
