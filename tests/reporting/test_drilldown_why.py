"""Explanations in words and marked tokens."""

from harness.evaluation.explanations import Explanation
from harness.reporting.drilldown_why import Chip, one_line, why
from harness.reporting.query_facts import QueryFacts

QUERY = [("cat", 3.0), ("dog", 2.0), ("purr", 1.0), ("the", 0.5)]
RELEVANT = Explanation(
    "r", 12, 1.5, QUERY, [("cat", 1.0), ("purr", 0.5)], [("cat", 0.5), ("x", 0.4)]
)
OTHER = Explanation("o", 1, 2.75, QUERY, [("dog", 1.5), ("cat", 1.25)], [("dog", 0.75)])


def explained(**roles):
    texts = {"r": "because\x1b it", "o": ""}
    return why(QueryFacts("q", [], roles, texts))


def test_what_both_documents_match():
    found = explained(relevant=RELEVANT, not_relevant=OTHER)
    assert found.sentence == (
        "The relevant document is ranked 12, matches 2 of 4 query tokens and scores 1.5; the best "
        "other one is ranked 1, matches 2 of 4 query tokens and scores 2.75; the largest gap is at "
        "“dog”, 0 against 1.5"
    )
    assert found.query == [
        Chip("cat", "3", "both"),
        Chip("dog", "2", "other"),
        Chip("purr", "1", "matched"),
        Chip("the", "0.5", "none"),
    ]
    assert (found.relevant.id, found.relevant.text) == ("r", "because\\x1b it")
    assert found.relevant.place == "rank 12, score 1.5"
    assert found.relevant.matched == [Chip("cat", "1", "both"), Chip("purr", "0.5", "matched")]
    assert found.relevant.largest == [Chip("cat", "0.5", "both"), Chip("x", "0.4", "none")]
    assert found.other.matched == [Chip("dog", "1.5", "other"), Chip("cat", "1.25", "both")]
    assert found.other.largest == []


def test_a_relevant_document_that_was_not_found():
    lost = Explanation("r", None, 0.0, [("cat", 3.0)], [], [])
    found = explained(relevant=lost)
    assert found.sentence == (
        "The relevant document was not found, matches 0 of 1 query token and scores 0"
    )
    assert found.relevant.place == "not found, score 0"
    assert found.other is None


def test_no_gap_where_the_other_document_has_none():
    found = explained(
        relevant=OTHER, not_relevant=Explanation("o", 2, 0.5, QUERY, [("dog", 1)], [])
    )
    assert "gap" not in found.sentence


def test_no_relevant_document():
    found = explained(not_relevant=OTHER)
    assert found.relevant is None
    assert found.sentence.startswith("The best other one is ranked 1, matches 2 of 4")


def test_long_queries_are_cut():
    many = [(f"t{number}", 1.0) for number in range(30)]
    found = explained(relevant=Explanation("r", 1, 1.0, many, [], []))
    assert (len(found.query), found.more) == (24, 6)


def test_nothing_kept_nothing_told():
    assert explained() is None


def test_one_line():
    assert one_line("a\n  b\tc\u202e", 99) == "a b c\\u202e"
    assert one_line("abcdef", 4) == "abc…"
