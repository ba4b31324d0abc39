"""The page of a run: its content by value, hostile texts, its size."""

import re
from html.parser import HTMLParser

import pytest

from harness.reporting import drilldown
from harness.reporting.drilldown import drilldown_text
from tests.reporting.stored import FIRST, PLACE, QRELS, SECOND, SETTINGS, write_stored
from tests.reporting.test_query_facts import EXPLAINED

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}\x1b"
SHOWN = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}\\x1b"
SPARSE = {**SETTINGS, "mode": {"kind": "aligned_sparse", "doc_top_k": 64}}
OTHER = {**EXPLAINED, "document_id": "d1", "role": "not_relevant", "rank": 1, "score": 2.5}


class Page(HTMLParser):
    """Tags with their attributes, and the text of every element."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if data.strip():
            self.texts.append(" ".join(data.split()))

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def dense(tmp_path):
    return {"toy": write_stored(tmp_path / "a", places={PLACE: (FIRST, QRELS)})}


@pytest.fixture
def sparse(tmp_path):
    def write(**given):
        usual = {
            **{"mode": "aligned_sparse", "settings": SPARSE, "folder": "aligned_sparse-k64-bbbb"},
            **{"places": {PLACE: (SECOND, QRELS)}, "config": "retrieval: x\n"},
            "cost": {"test/default": {"documents": 4, "query_flops": 2048.0}},
        }
        stored = write_stored(tmp_path / "b", **{**usual, **given})
        return {stored.result["task_name"]: stored}

    return write


def test_what_the_page_says(sparse, dense):
    page = Page(
        drilldown_text(
            sparse(texts={("query", "q2"): "why?"}, explanations=[EXPLAINED, OTHER]), dense
        )
    )
    for text in (
        *("aligned_sparse", "org/model", "r1", "K = 64", "aligned_sparse-k64-bbbb"),
        *("retrieval: x", "0123456789abcdef, with uncommitted changes", "Some CPU", "16.0 GiB"),
        *("query FLOPs", "2.05 k", "MRR@10", "0.5000", "0.7000", "71.4 %"),
        "4 documents, data revision data1",
        ", dense 0.7000, that is 71.4 % of dense. Wins 1, ties 2, losses 2.",
        *("q4", "1.0000", "0.0000", "−1.0000", "why?", "q2", "−0.5000", "q3", "+0.5000"),
        "Why: The relevant document is ranked 2, matches 1 of 1 query token and scores 1.5; the "
        "best other one is ranked 1, matches 1 of 1 query token and scores 2.5",
    ):
        assert text in page.texts
    assert [one["d"] for one in page.of("path")] == [
        *("M0,60V30H128V60Z", "M384,60V90H512V120H640V60Z", "M0,60H640"),
    ]
    assert [one["aria-label"] for one in page.of("svg")] == [
        "Differences to dense of single queries, sorted: gains 1, ties 2, losses 2"
    ]
    chips = [one for one in page.of("li") if one.get("class") == "both"]
    assert len(chips) == 4  # in the query, matched by both, and among the largest of one
    assert {"id": "toy", "aria-labelledby": "page:1"} in page.of("section")
    assert {"href": "#toy"} in page.of("a")
    assert {"href": "../index.html"} in page.of("a")


def test_losses_come_before_gains_and_by_size(sparse, dense):
    texts = Page(drilldown_text(sparse(), dense)).texts
    places = [texts.index(text) for text in ("Largest losses", "q4", "q2", "Largest gains", "q3")]
    assert places == sorted(places)


def test_without_dense(sparse, dense):
    for beside in (None, {}, {"other": dense["toy"]}):
        texts = Page(drilldown_text(sparse(task=f"t{id(beside)}"), beside)).texts
        assert "Lowest values" in texts
        assert "Largest losses" not in texts
        assert "of dense" not in texts


def test_what_is_not_comparable_is_not_compared(sparse, dense):
    own = sparse(revision="data2")
    for results, beside in ((own, dense), (dense, dense)):
        assert "Lowest values" in Page(drilldown_text(results, beside)).texts


def test_the_page_loads_and_runs_nothing(sparse, dense):
    page = Page(drilldown_text(sparse(), dense))
    assert not page.of("script")
    assert not [one for _, one in page.tags if {"src", "style", "onclick"} & one.keys()]
    (policy,) = [one["content"] for one in page.of("meta") if "http-equiv" in one]
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'sha256-[\w+/]+=*'; base-uri 'none'; "
        r"form-action 'none'",
        policy,
    )
    assert all(one["href"].startswith(("#", "../index.html")) for one in page.of("a"))


def test_hostile_texts_are_shown_as_text(sparse, dense):
    hostile = {**EXPLAINED, "query_tokens": [EVIL], "matched_tokens": [EVIL]}
    hostile["document_tokens"] = [EVIL, EVIL]
    settings = {**SPARSE, "mode": {"kind": EVIL}}
    html = drilldown_text(
        sparse(
            texts={("query", "q2"): EVIL, ("document", "d1"): EVIL},
            explanations=[hostile],
            **{"mode": EVIL, "model": "org/model", "settings": settings, "config": f"a: {EVIL}\n"},
            environment={"hardware": {"cpu": EVIL}, "software": {EVIL: EVIL}},
            cost={"test/default": {EVIL: EVIL}},
        ),
        dense,
    )
    page = Page(html)
    assert not page.of("script")
    assert not page.of("img")
    assert "\x1b" not in html
    assert "{{ 7*7 }}" in html
    assert page.texts.count(SHOWN) >= 5
    assert f"a: {SHOWN}" in page.texts


def test_a_hostile_task(tmp_path):
    name = '"><script>alert(1)</script> x'
    stored = write_stored(tmp_path, task="file")
    page = Page(drilldown_text({name: stored}))
    assert not page.of("script")
    assert name in page.texts
    anchor = "%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%20x"
    assert {"href": f"#{anchor}"} in page.of("a")
    assert anchor in [one.get("id") for one in page.of("section")]


def test_a_page_of_many_tasks_stays_small(tmp_path):
    run = {f"q{number:04}": {"d1": 2.0, "r": 1.0} for number in range(50)}
    better = {query: {"r": 2.0, "d1": 1.0} for query in run}
    qrels = {query: {"r": 1} for query in run}
    long = "many words of a text that is cut " * 20
    texts = {("query", query): long for query in run}
    texts |= {("document", name): long for name in ("d1", "r")}
    rows = [
        {**one, "query_id": query, "query_tokens": ["token"] * 20, "query_weights": [1.0] * 20}
        for query in run
        for one in (EXPLAINED, OTHER)
    ]
    shared = {"texts": texts, "explanations": rows}
    sparse = write_stored(tmp_path / "b", places={PLACE: (run, qrels)}, **shared)
    dense = write_stored(tmp_path / "a", places={PLACE: (better, qrels)}, texts=texts)
    sizes = {}
    for tasks in (1, 10, 50):
        names = [f"Task{number}" for number in range(tasks)]
        html = drilldown_text(dict.fromkeys(names, sparse), dict.fromkeys(names, dense))
        sizes[tasks] = len(html.encode())
        assert sizes[tasks] <= drilldown._LARGEST
        shown = html.count('class="query"')
        assert (tasks, shown >= tasks) == (tasks, True)
        assert ("To keep the page small" in html) == (shown < 10 * tasks)
    assert sizes[1] < sizes[10]
