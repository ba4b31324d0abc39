"""How an inverted index is searched, compiled by numba.

Term at a time within a block of documents: each posting adds to its document's float32 sum, in
ascending order of a query's tokens, so that neither other queries nor threads can change a score.
The best documents are then those with the smallest keys: a key is one integer of score and
document that ascends as scores descend, then as documents ascend.

All of it stands in one file, because numba compiles anew what it kept only when its file changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.retrieval.compiled import compiled, inner, lowest_bit, prefetch
from harness.retrieval.postings import Postings, Rows

GROUP = 64  # documents that are passed over together; a block has a multiple of it
BINS = 1 << 16  # of scores, by the upper half of their bits
_SPARSE = 8  # a block with fewer postings than one in so many documents is read by postings
_GATHERED = 512  # scores gathered before the limit is moved
_AHEAD = 512  # postings of the next list that are fetched early
_ANY = -(1 << 31)  # what no score's bits are below
_LARGEST = float(np.finfo(np.float32).max)


class _Terms(NamedTuple):
    """What a query reads.

    Attributes:
        lists: Numbers of lists, ascending.
        factors: What each list's weights are multiplied by.
    """

    lists: NDArray[np.int64]
    factors: NDArray[np.float32]


class _Best(NamedTuple):
    """The best documents so far.

    Attributes:
        k: How many are wanted, at least 1.
        bits: The sums of a block's documents as integers: int32 (groups, GROUP).
        keys: Those kept; room for all documents and one more, or for at least 2·k.
        bins: How many were seen within the limit, by score.
        gathered: Scores to be looked at: their bits, and places in the block.
        state: How many keys are kept; the limit, which they are below; the lowest bin that is
            counted; the highest; how many documents were seen in bins from the lowest on; and the
            bits that a score must have to be within the limit, or what no bits are below, where
            not only positive scores are.
    """

    k: int
    bits: NDArray[np.int32]
    keys: NDArray[np.int64]
    bins: NDArray[np.int32]
    gathered: NDArray[np.int64]
    state: NDArray[np.int64]


@compiled
def search_rows(
    queries: Rows,
    rows: tuple[int, int],
    postings: Postings,
    zeros: tuple[NDArray[np.float32], NDArray[np.int32]],
    found: tuple[NDArray[np.int32], NDArray[np.float32]],
) -> bool:
    """Find the best documents of some queries, those with a score of 0 left out.

    Args:
        queries: Tokens ascend in each.
        rows: The first of them, and what the last is before.
        postings: What is searched.
        zeros: For the sums of a block's documents, (groups, GROUP), and for bins, (BINS,); zeros
            again afterwards.
        found: A ranking's documents and scores, int32 and float32 (queries, k); filled.

    Returns:
        Whether no score could be NaN or too large for float32.
    """
    sums, bins = zeros
    documents, scores = found
    k = documents.shape[1]
    best = _Best(
        k,
        sums.view(np.int32),
        np.empty(min(4 * k + 1024, postings.documents + 1), np.int64),
        bins,
        np.empty(2 * _GATHERED, np.int64),
        np.empty(6, np.int64),
    )
    for row in range(rows[0], rows[1]):
        own = slice(queries.offsets[row], queries.offsets[row + 1])
        tokens, weights = queries.tokens[own], queries.weights[own]
        bound = 0.0
        for weight in weights:
            bound += abs(weight) * postings.largest
        if not bound <= _LARGEST:
            return False
        _search(_terms(tokens, weights, postings), postings, sums, best)
        _rank(best, documents[row], scores[row])
    return True


@inner
def _search(terms: _Terms, postings: Postings, sums: NDArray[np.float32], best: _Best) -> None:
    """Keep the keys of a query's best documents, and perhaps of some more."""
    best.state[:] = (0, np.iinfo(np.int64).max, BINS, -1, 0, _ANY)
    for base in range(0, postings.documents, postings.block):
        touched = _add(terms, postings, base // postings.block, sums)
        if touched * _SPARSE < postings.block:
            _read_postings(terms, postings, base, best)
        else:
            groups = (min(postings.block, postings.documents - base) + GROUP - 1) // GROUP
            _read_all(groups, base, best)


@compiled
def _terms(tokens: NDArray[np.int32], weights: NDArray[np.float32], postings: Postings) -> _Terms:
    """The lists of a query's tokens; tokens without one, and weights of 0, are left out."""
    lists, factors = np.empty(len(tokens), np.int64), np.empty(len(tokens), np.float32)
    terms, low = 0, 0
    absent = postings.vocabulary - len(postings.tokens)
    for term in range(len(tokens)):
        # At most so many of the smaller tokens have no list: with few, there is little to search.
        low = max(low, tokens[term] - absent)
        high = min(len(postings.tokens), tokens[term] + 1)
        while low < high:
            middle = (low + high) >> 1
            if postings.tokens[middle] < tokens[term]:
                low = middle + 1
            else:
                high = middle
        found = low < len(postings.tokens) and postings.tokens[low] == tokens[term]
        if found and weights[term] != 0:
            lists[terms] = low
            prefetch(postings.offsets, low * _blocks(postings))
            factors[terms] = weights[term]
            if len(postings.scales):
                factors[terms] *= postings.scales[low]
            terms += 1
    return _Terms(lists[:terms], factors[:terms])


@inner
def _blocks(postings: Postings) -> int:
    return (postings.documents + postings.block - 1) // postings.block


@inner
def _part(postings: Postings, number: int, block: int) -> tuple[Any, Any]:
    """Where a list's postings in one block begin and end."""
    place = number * _blocks(postings) + block
    return np.int64(postings.offsets[place]), np.int64(postings.offsets[place + 1])


@inner
def _add(terms: _Terms, postings: Postings, block: int, sums: NDArray[np.float32]) -> int:
    """Add a query's postings in one block to the sums, and say how many there are."""
    flat, touched = sums.reshape(-1), 0
    for term in range(len(terms.lists)):
        start, end = _part(postings, terms.lists[term], block)
        if term + 1 < len(terms.lists):
            first, last = _part(postings, terms.lists[term + 1], block)
            for posting in range(first, min(last, first + _AHEAD), 32):  # 64 bytes of places
                prefetch(postings.places, posting)
                prefetch(postings.weights, posting)
                prefetch(postings.weights, posting + 16)
        factor = terms.factors[term]
        for posting in range(start, end):
            flat[postings.places[posting]] += factor * np.float32(postings.weights[posting])
        touched += end - start
    return touched


@inner
def _read_postings(terms: _Terms, postings: Postings, base: int, best: _Best) -> None:
    """Read the sums that a block's postings name, and set them to 0; see `_admit`."""
    flat, least, found = best.bits.reshape(-1), best.state[5], np.int64(0)
    for term in range(len(terms.lists)):
        start, end = _part(postings, terms.lists[term], base // postings.block)
        for first in range(start, end, _GATHERED):
            for posting in range(first, min(first + _GATHERED, end)):
                within = postings.places[posting]
                score = flat[within]
                flat[within] = 0
                best.gathered[found] = np.int64(score) << 32 | within
                found += score >= least  # no branch: it would be mispredicted
            if found >= _GATHERED:
                least, found = _admit(found, base, best), np.int64(0)
    _admit(found, base, best)


@inner
def _read_all(groups: int, base: int, best: _Best) -> None:
    """Read all sums of a block, and set them to 0; see `_admit`."""
    bits, least, found = best.bits, best.state[5], np.int64(0)
    for group in range(groups):
        some = np.int32(0)
        if least > 0:
            for place in range(GROUP):
                some |= np.int32(bits[group, place] >= np.int32(least))
        else:
            for place in range(GROUP):
                some |= bits[group, place]
        if some != 0:
            mask = np.uint64(0)
            for place in range(GROUP):
                score = bits[group, place]
                good = (score >= np.int32(least)) & (score != 0)
                mask |= np.uint64(good) << np.uint64(place)
            while mask != 0:
                first = np.int64(lowest_bit(mask))
                mask &= mask - np.uint64(1)
                best.gathered[found] = np.int64(bits[group, first]) << 32 | (group * GROUP + first)
                found += 1
            if found >= _GATHERED:
                least, found = _admit(found, base, best), np.int64(0)
        for place in range(GROUP):
            bits[group, place] = 0
    _admit(found, base, best)


@inner
def _ordered(bits: int) -> int:
    """Integers that ascend as the float32 of the same bits; its own inverse."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@inner
def _admit(found: np.int64, base: int, best: _Best) -> Any:
    """Keep what was gathered within the limit, and lower it to what k of those seen are within.

    Scores are counted in bins, so that the limit is found by walking up from the lowest one. Keys
    themselves are compared where there is no room for all that share a bin.

    Args:
        found: How many were gathered.
        base: The block's first document.
        best: Changed.

    Returns:
        The last of `_Best.state`.
    """
    keys, bins, state = best.keys, best.bins, best.state
    kept, limit, lowest, highest, seen = state[0], state[1], state[2], state[3], state[4]
    for place in range(found):
        score, within = best.gathered[place] >> 32, best.gathered[place] & 0xFFFFFFFF
        key = ~_ordered(score) << 32 | (base + within)
        if key < limit and score != 0:
            keys[kept] = key
            kept += 1
            number = BINS // 2 - 1 - (key >> 48)
            bins[number] += 1
            seen += 1
            lowest, highest = min(lowest, number), max(highest, number)
            if kept == len(keys):
                _select(keys, best.k)
                kept, limit = best.k, keys[best.k - 1] + 1
    if seen >= best.k:
        while seen - bins[lowest] >= best.k:
            seen -= bins[lowest]
            bins[lowest] = 0
            lowest += 1
        limit = min(limit, (BINS // 2 - lowest) << 48)
    state[0], state[1], state[2], state[3], state[4] = kept, limit, lowest, highest, seen
    least = ~((limit - 1) >> 32)
    state[5] = least if least > 0 else _ANY
    return state[5]


@inner
def _select(keys: NDArray[np.int64], k: int) -> None:
    """Bring the k smallest of distinct keys to the front (Hoare's selection)."""
    low, high = 0, len(keys) - 1
    while low < high:
        first, middle, last = keys[low], keys[(low + high) >> 1], keys[high]
        pivot = max(min(first, middle), min(max(first, middle), last))
        left, right = low, high
        while left <= right:
            while keys[left] < pivot:
                left += 1
            while keys[right] > pivot:
                right -= 1
            if left <= right:
                keys[left], keys[right] = keys[right], keys[left]
                left += 1
                right -= 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            return


@compiled
def _rank(best: _Best, documents: NDArray[np.int32], scores: NDArray[np.float32]) -> None:
    """Write the documents and scores of the best keys in their order, padded as in `Ranking`.

    Keys are spread evenly over many more bins, so that little is left to sort. All bins are 0
    afterwards.
    """
    documents[:] = -1
    scores[:] = -np.inf
    keys, bins, state, bits = best.keys, best.bins, best.state, scores.view(np.int32)
    kept, limit, lowest, highest = state[0], state[1], state[2], state[3]
    bins[lowest : highest + 1] = 0
    count, first, last = 0, np.iinfo(np.int64).max >> 1, np.iinfo(np.int64).min >> 1
    for place in range(kept):
        if keys[place] < limit:
            keys[count] = keys[place]
            count += 1
            first, last = min(first, keys[place] >> 1), max(last, keys[place] >> 1)
    if count == 0:
        return
    shift = 0
    while (last - first) >> shift >= min(8 * count, len(bins)):
        shift += 1
    for place in range(count):
        bins[((keys[place] >> 1) - first) >> shift] += 1
    used = bins[: ((last - first) >> shift) + 1]
    start, most = 0, 0
    for number in range(len(used)):
        most = max(most, used[number])
        start, used[number] = start + used[number], start
    ordered = np.empty(count, np.int64)
    for place in range(count):
        number = ((keys[place] >> 1) - first) >> shift
        ordered[bins[number]] = keys[place]
        bins[number] += 1
    used[:] = 0
    _sort(ordered, most)
    for rank in range(min(count, len(documents))):
        documents[rank] = ordered[rank] & 0x7FFFFFFF
        bits[rank] = _ordered(~(ordered[rank] >> 32))


@inner
def _sort(keys: NDArray[np.int64], farthest: int) -> None:
    """Sort keys, none of which is farther than that from its place (Shell's sort)."""
    gap = 1
    while 9 * gap < farthest:
        gap = 3 * gap + 1
    while gap > 0:
        for place in range(gap, len(keys)):
            key, before = keys[place], place - gap
            while before >= 0 and keys[before] > key:
                keys[before + gap] = keys[before]
                before -= gap
            keys[before + gap] = key
        gap //= 3


@compiled
def score_pairs(
    queries: Rows,
    starts: NDArray[np.int64],
    candidates: NDArray[np.int32],
    postings: Postings,
    scores: NDArray[np.float32],
) -> int:
    """Scores of queries' candidates, the same that a search gives.

    Args:
        queries: Tokens ascend in each.
        starts: Where each query's candidates begin, and where the last end: (queries + 1,).
        candidates: Document rows.
        postings: Where they are indexed.
        scores: (candidates,), filled.

    Returns:
        How many postings the candidates and their queries have in common.
    """
    shared = 0
    for query in range(len(starts) - 1):
        own = slice(queries.offsets[query], queries.offsets[query + 1])
        terms = _terms(queries.tokens[own], queries.weights[own], postings)
        for pair in range(starts[query], starts[query + 1]):
            block = candidates[pair] // postings.block
            within = candidates[pair] - block * postings.block
            total = np.float32(0)
            for term in range(len(terms.lists)):
                low, end = _part(postings, terms.lists[term], block)
                high = end
                while low < high:
                    middle = (low + high) >> 1
                    if postings.places[middle] < within:
                        low = middle + 1
                    else:
                        high = middle
                while low < end and postings.places[low] == within:
                    total += terms.factors[term] * np.float32(postings.weights[low])
                    shared += 1
                    low += 1
            scores[pair] = total
    return shared
