"""The queries that count towards a score: what was found for each, and what is relevant."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.evaluation.evaluators import Ranked


@dataclass(frozen=True)
class JudgedQuery:
    """One query and its documents, which are rows of the corpus.

    Attributes:
        row: Its row among the queries.
        id: Its id.
        found: Documents that its score counts, best first: int32 (n,).
        relevant: Documents of a grade above 0, by descending grade, equal ones in the order of the
            judgements; what the corpus does not have is left out.
    """

    row: int
    id: str
    found: NDArray[np.int32]
    relevant: list[int]

    def first(self, *, relevant: bool) -> int | None:
        """The place in `found` of the best document that is, or is not, relevant; None without."""
        wanted = np.flatnonzero(np.isin(self.found, self.relevant) == relevant)
        return int(wanted[0]) if len(wanted) else None


def judged_queries(ranked: Ranked) -> Iterator[JudgedQuery]:
    """Yield the queries that a score is the mean over, in their order.

    `found` lacks what the task leaves out of its score, see `scored_run`.
    """
    metrics = ranked.metrics
    rows = {name: row for row, name in enumerate(ranked.queries.ids)}
    for name in metrics.query_ids:
        row = rows[name]
        documents = ranked.ranking.documents[row]
        found = documents[documents >= 0]
        if metrics.ignore_identical_ids:
            found = found[found != row_of(ranked.corpus.ids, name)]
        grades = ranked.qrels[name]
        by_grade = sorted(
            (document for document, grade in grades.items() if grade > 0),
            key=lambda document: -grades[document],
        )
        known = [row_of(ranked.corpus.ids, document) for document in by_grade]
        yield JudgedQuery(
            row,
            name,
            found[1:] if metrics.skip_first_result else found,
            [document for document in known if document >= 0],
        )


def row_of(ids: Sequence[str], name: str) -> int:
    """The row of an id among ascending ones, -1 where it is not among them."""
    row = bisect_left(ids, name)
    return row if row < len(ids) and ids[row] == name else -1
