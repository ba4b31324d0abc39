"""The texts that a reader of a result wants to see, kept beside it as `texts.parquet`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.evaluation.digests import unreadable_table
from harness.evaluation.judged import judged_queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from harness.evaluation.evaluators import Ranked
    from harness.evaluation.task_texts import Place

TEXTS_FILE = "texts.parquet"

LONGEST_TEXT = 400  # characters; a longer text ends in an ellipsis
_RELEVANT = 3  # documents of each query
_FOUND = 3


@dataclass(frozen=True)
class KeptTexts:
    """What `texts.parquet` holds of one place.

    Attributes:
        queries: Query id to text.
        documents: Document id to text, title and text joined.
    """

    queries: dict[str, str] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)


def texts_table(split: str, subset: str, ranked: Ranked) -> pa.Table:
    """The texts of all queries that count, and of some of their documents, cut.

    Of each query they are the first relevant documents, those of the highest grade, and the ones
    that are ranked highest.

    Returns:
        Columns split, subset, kind (`query` or `document`), all dictionaries of strings, id and
        text; documents ascend by id, each stands once.
    """
    queries, documents = [], set()
    for query in judged_queries(ranked):
        queries.append(query.row)
        documents.update(query.relevant[:_RELEVANT])
        documents.update(query.found[:_FOUND].tolist())
    rows = sorted(documents)
    kinds = np.repeat(np.arange(2, dtype=np.int32), [len(queries), len(rows)])
    constant = np.zeros(len(kinds), np.int32)
    return pa.table(
        {
            "split": pa.DictionaryArray.from_arrays(constant, pa.array([split])),
            "subset": pa.DictionaryArray.from_arrays(constant, pa.array([subset])),
            "kind": pa.DictionaryArray.from_arrays(kinds, pa.array(["query", "document"])),
            "id": pa.array(
                [*_at(ranked.queries.ids, queries), *_at(ranked.corpus.ids, rows)], pa.string()
            ),
            "text": pa.array(
                [
                    *map(cut, _at(ranked.queries.texts, queries)),
                    *map(cut, _at(ranked.corpus.texts, rows)),
                ],
                pa.string(),
            ),
        }
    )


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, or its beginning and an ellipsis, of at most `longest` characters."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def read_texts(details: Path) -> dict[Place, KeptTexts]:
    """Each place's texts; empty for a result that was made before texts were kept.

    Args:
        details: A result's details folder.

    Raises:
        BadInputError: If the file is not as `harness run` writes it.
    """
    path = details / TEXTS_FILE
    if not path.exists():
        return {}
    try:
        table = pq.read_table(
            path,
            columns=["split", "subset", "kind", "id", "text"],
            page_checksum_verification=True,
        )
        columns = (pc.cast(column, pa.string()).to_pylist() for column in table.columns)
        rows = list(zip(*columns, strict=True))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable_table(path, error) from error
    found: dict[Place, KeptTexts] = {}
    for split, subset, kind, name, text in rows:
        kept = found.setdefault((split, subset), KeptTexts())
        (kept.queries if kind == "query" else kept.documents)[name] = text
    return found


def _at(values: Sequence[str], rows: Iterable[int]) -> list[str]:
    return [values[row] for row in rows]
