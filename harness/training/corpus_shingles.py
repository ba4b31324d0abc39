"""Shingles: runs of words as 64-bit hashes, so that texts by the million can be compared."""

from __future__ import annotations

from functools import cache

import numpy as np
import xxhash
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

# Odd, so that multiplication loses nothing: the golden ratio's bits, as Knuth advises.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def shingles(words: list[str], size: int) -> Hashes:
    """The distinct runs of `size` words in a text, hashed.

    Args:
        words: The text's words, normalised by the caller.
        size: Words a run.

    Returns:
        Ascending hashes without repetition; a text shorter than `size` is one run, a text without
        words none.
    """
    return np.unique(runs(words, size))


def runs(words: list[str], size: int) -> Hashes:
    """As `shingles`, in the order of the text, repetitions kept."""
    if not words:
        return np.zeros(0, np.uint64)
    codes = np.array([_word_hash(word) for word in words], np.uint64)
    size = min(size, len(words))
    count = len(words) - size + 1
    hashes = np.zeros(count, np.uint64)
    for start in range(size):
        hashes = _mixed(hashes * _MULTIPLIER + codes[start : start + count])
    return hashes


class SeenTable:
    """A set of hashes that forgets nothing and now and then takes a new one for known.

    One byte a slot, chosen by a hash's low bits; with 2^28 slots and 10 million hashes 4 in 100
    new ones are taken for known, which a threshold on a text's share of known ones does not feel.

    Args:
        slot_bits: Slots as a power of two.
    """

    def __init__(self, slot_bits: int = 28) -> None:
        self._slots = np.zeros(1 << slot_bits, np.bool_)
        self._mask = np.uint64((1 << slot_bits) - 1)

    def share(self, hashes: Hashes) -> float:
        """The share of these hashes that are known; 0 of none."""
        return float(self._slots[hashes & self._mask].mean()) if len(hashes) else 0.0

    def add(self, hashes: Hashes) -> None:
        """Know these hashes from now on."""
        self._slots[hashes & self._mask] = True


def _mixed(hashes: Hashes) -> Hashes:
    """High bits into low ones, which multiplication alone never does."""
    return hashes ^ (hashes >> np.uint64(29))


@cache
def _word_hash(word: str) -> int:
    return xxhash.xxh3_64_intdigest(word.encode("utf-8", "replace"))
