"""Overlap with the documentation that is tested on, on texts whose overlap is counted by hand."""

import pytest

from harness.evaluation.tasks.pydoc_corpus import near_duplicates
from harness.evaluation.tasks.pydoc_sources import Docstring
from harness.training.decontamination import (
    Overlap,
    Reference,
    find_overlap,
    find_pair_overlap,
    find_summary_overlap,
    make_reference,
)

SUMMARY = "Find the left insertion point"
# 20 words: 18 shingles of three words, 8 runs of thirteen.
BODY = "a b c d e f g h i j k l m n o p q r s t"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return make_reference(
        [
            Docstring("shelve.open", "function", f"{SUMMARY}.\n\n{BODY}"),
            Docstring("gzip.compress", "function", "Compress data in one shot."),
        ]
    )


def test_a_copy_is_a_near_duplicate_of_the_masked_and_cut_form(reference: Reference) -> None:
    assert find_overlap(reference, BODY.upper()) == Overlap("near duplicate", "shelve.open", "1.00")


def test_the_threshold_is_three_shingles_in_five(reference: Reference) -> None:
    # 14 of the 20 words: 12 of 18 shingles are shared, none is new: 0.67.
    assert find_overlap(reference, " ".join(BODY.split()[:14])) == Overlap(
        "near duplicate", "shelve.open", "0.67"
    )
    # 12 of 20 words: 10 of 18 shingles, 0.56; and no run of 13 words.
    assert find_overlap(reference, " ".join(BODY.split()[:12])) is None


def test_near_duplicates_are_those_of_the_embedded_task(reference: Reference) -> None:
    words = BODY.split()
    for position in range(len(words)):
        for length in (1, 2, 3):
            changed = [*words[:position], *["new"] * length, *words[position + length :]]
            text = " ".join(changed[: len(words)])
            overlap = find_overlap(reference, text)
            alike = near_duplicates([BODY, text]) == [[1], [0]]
            assert (overlap is not None and overlap.reason == "near duplicate") == alike


def test_a_run_of_thirteen_words_is_found_in_a_long_text(reference: Reference) -> None:
    run = " ".join(BODY.split()[3:16])
    text = f"Something of our own is said, {run}; and more of our own follows it in the end."
    assert find_overlap(reference, text) == Overlap("shared run", "shelve.open", run)
    shorter = text.replace(run, " ".join(BODY.split()[3:15]))
    assert find_overlap(reference, shorter) is None


def test_a_run_over_summary_and_body_counts(reference: Reference) -> None:
    text = f"We do this: find the left insertion point. {' '.join(BODY.split()[:8])} {'z ' * 40}"
    assert find_overlap(reference, text) == Overlap(
        "shared run", "shelve.open", "find the left insertion point a b c d e f g h"
    )


def test_what_is_too_short_to_be_a_document_is_in_the_reference(reference: Reference) -> None:
    assert find_overlap(reference, "Compress data, in one shot") == Overlap(
        "near duplicate", "gzip.compress", "1.00"
    )
    assert find_overlap(reference, "") is None


def test_a_pair_with_the_librarys_summary_is_found(reference: Reference) -> None:
    other = "Another text that has nothing at all to do with it"
    assert find_pair_overlap(reference, "Find the LEFT insertion point:", other) == Overlap(
        "same summary", "shelve.open", "Find the LEFT insertion point:"
    )
    assert find_pair_overlap(reference, "Find the right insertion point", other) is None
    assert find_pair_overlap(reference, "Find the right one", BODY) == Overlap(
        "near duplicate", "shelve.open", "1.00"
    )


def test_nothing_overlaps_an_empty_reference() -> None:
    empty = make_reference([])
    assert find_overlap(empty, BODY) is None
    assert find_pair_overlap(empty, SUMMARY, BODY) is None


def test_a_text_that_begins_with_a_summary_that_could_be_a_query(reference: Reference) -> None:
    text = f"{SUMMARY.upper()}.\n\nOf a kind that the library knows nothing about."
    assert find_summary_overlap(reference, text) == Overlap(
        "same summary", "shelve.open", SUMMARY.upper()
    )
    assert find_summary_overlap(reference, f"Otherwise. {SUMMARY}.") is None
