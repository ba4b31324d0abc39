"""What the embedded task is made from is kept out of what is trained on.

The embedded task judges by the standard library's documentation. Other packages quote it, inherit
from it and port it; a text that does so is not trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.evaluation.tasks.pydoc_corpus import (
    NEAR_DUPLICATE_JACCARD,
    SHINGLE_WORDS,
    make_entries,
)
from harness.evaluation.tasks.pydoc_sources import Docstring
from harness.evaluation.tasks.pydoc_text import MIN_QUERY_WORDS, query_key, split_summary
from harness.training.corpus_duplicates import jaccard
from harness.training.corpus_shingles import Hashes, runs, shingles

RUN_WORDS = 13
NEAR_DUPLICATE = "near duplicate"
SHARED_RUN = "shared run"
SAME_SUMMARY = "same summary"


class Overlap(NamedTuple):
    """Why a text is not trained on.

    Attributes:
        reason: `near duplicate`, `shared run` or `same summary`.
        name: The standard library's object.
        overlap: The Jaccard coefficient, the run's words, or the summary.
    """

    reason: str
    name: str
    overlap: str


@dataclass(frozen=True)
class Reference:
    """All documentation that must not be trained on, see `make_reference`.

    Attributes:
        names: The name of each text.
        sets: Its three-word shingles.
        holders: The texts that hold a three-word shingle.
        known: All three-word shingles, ascending.
        runs: All runs of 13 words, ascending.
        run_holders: A text for each of them.
        summaries: The keys of summaries, and whose they are.
    """

    names: Sequence[str]
    sets: Sequence[Hashes]
    holders: dict[int, list[int]]
    known: Hashes
    runs: Hashes
    run_holders: Sequence[int]
    summaries: dict[str, str]


def make_reference(docstrings: Iterable[Docstring]) -> Reference:
    """Index the documentation that must not be trained on.

    A docstring counts in two forms: as the embedded task's document, cut and masked, and whole.

    Args:
        docstrings: The standard library's, all of them.

    Returns:
        What `find_overlap` looks into.
    """
    everything = list(docstrings)
    splits = [split_summary(text) for _, _, text in everything]
    texts = [(entry.document_id, entry.text) for entry in make_entries(everything)]
    for (name, _, _), (summary, body) in zip(everything, splits, strict=True):
        texts.append((name, f"{summary}\n{body}"))
    words = [query_key(text).split() for _, text in texts]
    sets = [shingles(one, SHINGLE_WORDS) for one in words]
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for index, hashes in enumerate(sets):
        for key in hashes.tolist():
            holders[key].append(index)
    long_runs = [shingles(one, RUN_WORDS) if len(one) >= RUN_WORDS else _NONE for one in words]
    known_runs, first = np.unique(np.concatenate([_NONE, *long_runs]), return_index=True)
    owners = np.repeat(np.arange(len(texts)), [len(hashes) for hashes in long_runs])
    summaries: dict[str, str] = {}
    for (name, _, _), (summary, _) in zip(everything, splits, strict=True):
        if query_key(summary):
            summaries.setdefault(query_key(summary), name)
    return Reference(
        names=[name for name, _ in texts],
        sets=sets,
        holders=dict(holders),
        known=np.unique(np.concatenate([_NONE, *sets])),
        runs=known_runs,
        run_holders=owners[first].tolist(),
        summaries=summaries,
    )


def find_overlap(reference: Reference, text: str) -> Overlap | None:
    """Whether a text is a near duplicate of the reference or shares a run of 13 words with it.

    Args:
        reference: See `make_reference`.
        text: A text that might be trained on.

    Returns:
        The overlap, the near duplicate before the run; None if there is none.
    """
    words = query_key(text).split()
    hashes = shingles(words, SHINGLE_WORDS)
    common = hashes[_isin(hashes, reference.known)]
    # A near duplicate of one text holds at least so many shingles of all of them.
    if len(hashes) and len(common) >= NEAR_DUPLICATE_JACCARD * len(hashes):
        candidates = {holder for key in common.tolist() for holder in reference.holders[key]}
        for holder in sorted(candidates):
            alike = jaccard(hashes, reference.sets[holder])
            if alike >= NEAR_DUPLICATE_JACCARD:
                return Overlap(NEAR_DUPLICATE, reference.names[holder], f"{alike:.2f}")
    if len(words) < RUN_WORDS:
        return None
    own = runs(words, RUN_WORDS)
    shared = np.flatnonzero(_isin(own, reference.runs))
    if not len(shared):
        return None
    start = int(shared[0])
    holder = reference.run_holders[int(np.searchsorted(reference.runs, own[start]))]
    run = " ".join(words[start : start + RUN_WORDS])
    return Overlap(SHARED_RUN, reference.names[holder], run)


def find_summary_overlap(reference: Reference, text: str) -> Overlap | None:
    """Whether a text begins with a summary of the standard library that could be a query.

    Args:
        reference: See `make_reference`.
        text: A text that might be trained on.

    Returns:
        The overlap; None if there is none.
    """
    summary = split_summary(text).summary
    key = query_key(summary)
    if key not in reference.summaries or len(key.split()) < MIN_QUERY_WORDS:
        return None
    return Overlap(SAME_SUMMARY, reference.summaries[key], summary)


def find_pair_overlap(reference: Reference, query: str, positive: str) -> Overlap | None:
    """Whether a pair asks what the standard library's summaries say, or either side overlaps.

    Args:
        reference: See `make_reference`.
        query: A summary.
        positive: A body.

    Returns:
        The overlap, that of the summary first; None if there is none.
    """
    key = query_key(query)
    if key in reference.summaries:
        return Overlap(SAME_SUMMARY, reference.summaries[key], query)
    return find_overlap(reference, positive) or find_overlap(reference, query)


_NONE: Hashes = np.zeros(0, np.uint64)


def _isin(hashes: Hashes, known: Hashes) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.asarray(known[places] == hashes)
