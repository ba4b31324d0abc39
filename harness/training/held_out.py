"""The pairs that a contrastive step is not trained on, as a test collection in BEIR's layout."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.files import write_text
from harness.training.data import Pair

HELD_OUT = "held_out_pairs"


def write_collection(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write pairs as a collection that `tasks=folder tasks.path=FOLDER` reads.

    The corpus is all positives and negatives, each text once; a query that several pairs have is
    asked once, and all its positives are relevant.

    Args:
        folder: Gets `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`.
        pairs: At least one.
    """
    queries = _numbered("q", (pair.query for pair in pairs))
    texts = (pair.positive for pair in pairs), (text for pair in pairs for text in pair.negatives)
    documents = _numbered("d", (text for part in texts for text in part))
    relevant = dict.fromkeys((queries[pair.query], documents[pair.positive]) for pair in pairs)
    judgements = (f"{query}\t{document}\t1" for query, document in relevant)
    write_text(folder / "corpus.jsonl", _json_lines(documents))
    write_text(folder / "queries.jsonl", _json_lines(queries))
    lines = ["query-id\tcorpus-id\tscore", *judgements]
    write_text(folder / "qrels" / "test.tsv", "".join(f"{line}\n" for line in lines))


def _numbered(letter: str, texts: Iterable[str]) -> dict[str, str]:
    """Distinct texts with an id each, in the order of their first places."""
    return {text: f"{letter}{number}" for number, text in enumerate(dict.fromkeys(texts))}


def _json_lines(texts: dict[str, str]) -> str:
    lines = (json.dumps({"_id": one, "text": text}) for text, one in texts.items())
    return "".join(f"{line}\n" for line in lines)
