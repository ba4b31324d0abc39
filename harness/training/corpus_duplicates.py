"""Duplicates within the corpus: documents that repeat earlier ones, and bodies nearly alike."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from harness.evaluation.tasks.pydoc_corpus import NEAR_DUPLICATE_JACCARD, SHINGLE_WORDS
from harness.evaluation.tasks.pydoc_text import query_key
from harness.training.corpus_shingles import Hashes, SeenTable, shingles

REPEATED_SHINGLE_WORDS = 5
REPEATED_SHARE = 0.6


def repeated(texts: Iterable[str], *, slot_bits: int = 28) -> list[bool]:
    """Which texts say little that texts before them have not said.

    Args:
        texts: In order; the first of two copies is the one that is kept.
        slot_bits: Size of the table of known runs, see `SeenTable`.

    Returns:
        For each text, whether more than 60 % of its five-word runs stand in texts kept before it.
    """
    known = SeenTable(slot_bits)
    found = []
    for text in texts:
        hashes = shingles(query_key(text).split(), REPEATED_SHINGLE_WORDS)
        found.append(not len(hashes) or known.share(hashes) > REPEATED_SHARE)
        if not found[-1]:
            known.add(hashes)
    return found


def near_copies(texts: Iterable[str]) -> list[bool]:
    """Which texts are near duplicates, as the embedded task judges them, of a text kept before.

    Two sets of shingles with a Jaccard coefficient of t or more share t of the larger one, so the
    first 1 - t of their shingles in any common order have one in common: only texts that share one
    of those are compared. What few texts hold comes first, so they are few.

    Args:
        texts: In order; the first of two copies is the one that is kept.

    Returns:
        For each text, whether its three-word shingles and those of a kept text before it have a
        Jaccard coefficient of at least 0.6.
    """
    sets = [shingles(query_key(text).split(), SHINGLE_WORDS) for text in texts]
    sets = _rare_first(sets)
    holders: defaultdict[int, list[int]] = defaultdict(list)
    ordered: dict[int, Hashes] = {}
    found = []
    for index, hashes in enumerate(sets):
        prefix = hashes[: len(hashes) - math.ceil(NEAR_DUPLICATE_JACCARD * len(hashes)) + 1]
        keys: list[int] = prefix.tolist()
        candidates = sorted({holder for key in keys for holder in holders[key]})
        own = np.sort(hashes)
        found.append(any(_alike(own, ordered[holder]) for holder in candidates))
        if not found[-1]:
            ordered[index] = own
            for key in keys:
                holders[key].append(index)
    return found


def jaccard(first: Hashes, second: Hashes) -> float:
    """The Jaccard coefficient of two ascending sets; 0 if one is empty."""
    if not len(first) or not len(second):
        return 0.0
    places = np.minimum(np.searchsorted(second, first), len(second) - 1)
    shared = int((second[places] == first).sum())
    return shared / (len(first) + len(second) - shared)


def _alike(first: Hashes, second: Hashes) -> bool:
    shorter, longer = sorted((len(first), len(second)))
    if shorter < NEAR_DUPLICATE_JACCARD * longer:
        return False
    return jaccard(first, second) >= NEAR_DUPLICATE_JACCARD


def _rare_first(sets: list[Hashes]) -> list[Hashes]:
    """Each set in one common order: what few texts hold comes first, ties by hash."""
    values, counts = np.unique(np.concatenate([np.zeros(0, np.uint64), *sets]), return_counts=True)
    places = [np.searchsorted(values, hashes) for hashes in sets]
    return [
        hashes[np.argsort(counts[place], kind="stable")]
        for hashes, place in zip(sets, places, strict=True)
    ]
