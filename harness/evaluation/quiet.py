"""What mteb says on standard error while it evaluates, and no user can act on, is not said."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mteb._evaluators.text import bitext_mining_evaluator, summarization_evaluator

T = TypeVar("T")

# They show bars of their own, whatever `mteb.evaluate` is told.
_WITH_BARS: tuple[Any, ...] = (bitext_mining_evaluator, summarization_evaluator)


@contextmanager
def without_noise() -> Iterator[None]:
    """Leave out mteb's own progress bars and the warnings of how it uses its libraries."""
    bars = [module.tqdm for module in _WITH_BARS]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(mteb|sklearn)\b")
        for module in _WITH_BARS:
            module.tqdm = _no_bar
        try:
            yield
        finally:
            for module, bar in zip(_WITH_BARS, bars, strict=True):
                module.tqdm = bar


def _no_bar(items: Iterable[T], **_: Any) -> Iterable[T]:
    return items
