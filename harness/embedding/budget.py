"""The token budget of a device: tried on the first real batches, then remembered."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BadInputError
from harness.files import read_json, write_text
from harness.progress import say

_ROUNDS = 3  # batches of each budget, in turn, since machines drift
_WORTH = 2  # a pass is tried on if it has so many times the tokens that trying takes


@dataclass
class TokenBudget:
    """Which budget the next batch of a pass has; batches that are tried are real work.

    Attributes:
        chosen: The budget in force; the first guess until one is chosen.
        candidates: Budgets to try, empty where nothing is tried.
        rates: Tokens per second of each budget's batches so far.
    """

    chosen: int
    candidates: tuple[int, ...] = ()
    rates: dict[int, list[float]] = field(default_factory=dict)

    @property
    def tries(self) -> bool:
        """Whether the next batch is one that is tried, so that its time counts."""
        return bool(self.candidates)

    def next(self) -> int:
        """The budget of the next batch."""
        if not self.candidates:
            return self.chosen
        return min(self.candidates, key=lambda budget: len(self.rates.get(budget, ())))

    def took(self, budget: int, *, tokens: int, seconds: float) -> bool:
        """Note a batch that was tried; True when that settles the choice.

        The first round warms the device up and does not count.
        """
        self.rates.setdefault(budget, []).append(tokens / max(seconds, 1e-9))
        if any(len(self.rates.get(each, ())) < _ROUNDS for each in self.candidates):
            return False
        self.chosen = max(self.candidates, key=lambda each: statistics.median(self.rates[each][1:]))
        self.candidates = ()
        return True

    def lower(self, budget: int) -> None:
        """Never again a budget above this one: the device ran out of memory."""
        self.chosen = min(self.chosen, budget)
        self.candidates = tuple(each for each in self.candidates if each <= budget)


def first_budget(
    *, guess: int, candidates: tuple[int, ...], tokens: int, known: int | None
) -> TokenBudget:
    """The budget that a pass begins with.

    Args:
        guess: What is taken where nothing is known and the pass is too short to try.
        candidates: Budgets worth trying on the device.
        tokens: True tokens of the pass.
        known: What was chosen before on this device, None if nothing was.
    """
    if known is not None:
        return TokenBudget(known)
    if tokens < _WORTH * _ROUNDS * sum(candidates):
        return TokenBudget(guess)
    return TokenBudget(guess, candidates)


class BudgetMemory:
    """Budgets that were chosen, one small file for each device, model and dtype."""

    def __init__(self, folder: Path, circumstances: Mapping[str, Any]) -> None:
        """Say where, and for what.

        Args:
            folder: Where the files are.
            circumstances: All that the choice depends on, JSON-able.
        """
        canonical = json.dumps(circumstances, sort_keys=True)
        name = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        self.path = folder / f"{name}.json"
        self._circumstances = dict(circumstances)

    def read(self) -> int | None:
        """The budget, None where none was chosen or the file is not readable as one."""
        if not self.path.exists():
            return None
        try:
            budget = read_json(self.path).get("token_budget")
        except BadInputError:
            return None  # no score depends on it, so it is found anew
        return budget if type(budget) is int and budget > 0 else None

    def write(self, budget: TokenBudget) -> None:
        """Remember what was chosen; a folder that cannot be written to is told, and that is all."""
        # One that ran out of memory may have had no batch but the first.
        rates = {
            str(each): statistics.median(rates[1:])
            for each, rates in budget.rates.items()
            if len(rates) > 1
        }
        known = {
            "token_budget": budget.chosen,
            "tokens_per_second": rates,
            "circumstances": self._circumstances,
        }
        try:
            write_text(self.path, json.dumps(known, indent=2) + "\n")
        except OSError as error:
            say(f"the token budget {budget.chosen} cannot be remembered ({error})")
