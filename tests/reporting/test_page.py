import base64
import gzip
import html
import json
import re

import pytest

from harness.reporting.page import page_text
from harness.reporting.pages import policy_hash
from tests.browser.payloads import HOSTILE, board, hostile


@pytest.fixture(scope="module")
def text():
    return page_text(board())


def packed(text, name):
    found = re.search(rf'<script type="application/octet-stream" id="packed-{name}">([^<]*)<', text)
    return gzip.decompress(base64.b64decode(found.group(1))).decode()


def view_of(payload):
    return json.loads(packed(page_text(payload), "view"))


def policy(text):
    written = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    content = html.unescape(written)
    return dict(part.strip().partition(" ")[::2] for part in content.split(";"))


def test_the_policy_lets_the_pages_own_scripts_run_and_nothing_else(text):
    found = policy(text)
    own = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
    scripts = (own, packed(text, "tables"), packed(text, "plots"))
    assert found["default-src"] == "'none'"
    assert found["script-src"].split() == [policy_hash(script) for script in scripts]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert found["style-src"].split() == [policy_hash(style), policy_hash("")]
    assert found["img-src"] == "data:"
    assert set(found) == {
        *("default-src", "img-src", "style-src", "script-src", "base-uri", "form-action")
    }


def test_the_page_names_no_other_place(text):
    shown = re.sub(r'<script type="application/octet-stream".*?</script>', "", text)
    assert re.findall(r"https?:[^\s\"'<]*", shown) == []
    assert set(re.findall(r'(?:href|src)="([^"#]*)', shown)) - {""} == {
        *("leaderboard.csv", "leaderboard.md", "leaderboard.tex", "results.parquet", "data:,"),
        *(
            f"runs/{mode}-{n}.html"
            for mode in ("dense", "aligned_sparse", "hybrid")
            for n in (0, 1, 2)
        ),
        "runs/bm25-0.html",
    }


def test_it_is_small(text):
    assert len(text.encode()) < 3_000_000


def test_what_is_shown_is_held_for_the_script_too():
    view = view_of(board(models=1, tasks=1))
    assert view["systems"][1] == {
        **{"label": "aligned_sparse", "mode": "aligned_sparse", "kind": 1},
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "settings": "mean pooling, ≤256 tokens",
        "facets": [
            *("sentence-transformers/all-MiniLM-L6-v2", "aligned_sparse", "mean", "none", "ridge"),
            "float32",
        ],
        "link": "runs/aligned_sparse-0.html",
    }
    (task,) = view["tasks"]
    assert (task["name"], task["metric"], task["anchor"]) == ("SciFact", "nDCG@10", "#SciFact")
    assert [row[0] for row in task["rows"]] == [2, 0, 1, 3]
    dense = dict(zip((column["key"] for column in task["columns"]), task["rows"][1], strict=True))
    assert dense["value"] == ["0.5000", "0.4600–0.5400"]  # 0.60 − 0.1
    assert dense["query_flops"] == ["495 M", "", "front"]
    assert dense["ratio"] == ""
    assert dense["published"] == "0.6451"
    assert dense["difference"] == "-0.1451"


def test_a_link_of_its_own_is_kept():
    payload = board(models=1, tasks=1)
    payload["cells"][0]["page"] = "runs/elsewhere.html#T"
    payload["cells"][1].update(mark="b", page=None)
    rows = view_of(payload)["tasks"][0]["rows"]
    assert [row[0] for row in rows] == [2, [0, "", "runs/elsewhere.html#T"], [1, "b", ""], 3]


def test_there_is_a_tab_for_each_type_unless_there_is_only_one():
    assert [tab["name"] for tab in view_of(board())["tabs"]] == [
        *("All", "Retrieval", "STS", "Reranking")
    ]
    assert [tab["name"] for tab in view_of(board(tasks=3))["tabs"]] == ["All"]


def test_short_names_tell_systems_apart():
    names = [system["label"] for system in view_of(board(models=2, tasks=1))["systems"]]
    assert names[0] == "dense, all-MiniLM-L6-v2"
    assert names[-1] == "bm25"
    payload = board(models=1, tasks=1)
    for system in payload["systems"][1:3]:
        system["mode"] = "dense"
    payload["systems"][2]["model"] = "org/" + "m" * 60
    payload["systems"][3].update(mode="dense", model="sentence-transformers/all-MiniLM-L6-v2")
    names = [system["label"] for system in view_of(payload)["systems"]]
    assert names == [
        "dense, all-MiniLM-L6-v2 (1)",
        "dense, all-MiniLM-L6-v2 (2)",
        f"dense, {'m' * 32}…",
        "dense, all-MiniLM-L6-v2 (3)",
    ]


def test_a_long_table_is_written_in_part_and_held_whole():
    payload = board(models=40, tasks=6)  # 121 systems, four tabs and six tasks
    text = page_text(payload)
    assert len(re.findall(r"<tr>\n<th scope=\"row\"", text)) == 600
    assert "100 of 121 rows; the page’s script shows all" in text
    assert "0 of 118 rows" in text  # the sixth task, which the last model lacks
    view = json.loads(packed(text, "view"))
    assert [len(tab["rows"]) for tab in view["tabs"]] == [121, 121, 120, 118]
    assert [len(task["rows"]) for task in view["tasks"]] == [121, 121, 121, 120, 120, 118]


def test_hostile_texts_are_escaped_wherever_they_stand():
    text = page_text(hostile())
    assert not re.search(r"<img|onerror=alert\(2\)>|<b>bold|</script><script>alert", text)
    assert "javascript:alert(4)" not in text
    shown = html.unescape(text)
    words = (
        *("title", "summary", "version", "unreadable", "Retrieval", "SciFact", "nDCG@10", "where"),
        *("mark", "m", "group", "verdict", "system", "source", "k1 = 1.5, b = 0.75", "pooling"),
    )
    marks = HOSTILE.replace("\u2028", r"\u2028").replace("\x07", r"\x07")
    for word in words:
        assert f"{word} {marks}" in shown
    assert "\u2028" not in text
    assert "\x07" not in text


def test_absent_figures_are_a_dash_and_missing_tasks_are_said(text):
    row = re.search(
        r"<tr>\n<th scope=\"row\" class=\"system\">\n[^\n]*bm25.*?</tr>", text, re.DOTALL
    )
    cells = re.findall(r'<td class="(\w+)">\n(.*?)</td>', row.group(), re.DOTALL)
    assert [key for key, cell in cells if "–" in cell] == [
        *("rank", "rank_borda", "group", "value", "ratio", "documents_per_second")
    ]
    assert "4 of 6 tasks" in dict(cells)["value"]


def test_what_could_not_be_read_is_said():
    payload = board(models=1, tasks=1) | {"unreadable": ["results/x/T.json: not JSON"]}
    text = page_text(payload)
    assert "1 result could not be read" in text
    assert "<li>results/x/T.json: not JSON</li>" in text
    assert "could not be read" not in page_text(board(models=1, tasks=1))


def test_a_board_without_systems_is_still_a_page():
    empty = board(models=1, tasks=1) | {"systems": [], "cells": [], "tasks": [], "types": []}
    assert "<title>Text embeddings: quality and cost</title>" in page_text(empty | {"paper": []})
