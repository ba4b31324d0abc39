import json
from typing import ClassVar

import mteb
import pytest

from harness.cost.flops import QuadraticFlops
from harness.evaluation.tasks.sizes import Estimate, TaskSize, task_size
from harness.reporting.listing import ListedTask, list_task, listing_lines, print_listing

FLOPS = 2.5e12


def entry(task, kind="Retrieval", *, size=(), cost=(FLOPS, 75.0), **given):
    """A task of 1,000 documents, 10 queries and 4,000 characters, unless told otherwise."""
    documents, queries, characters = size or (1_000, 10, 4_000)
    splits, subsets = given.get("splits", ("test",)), given.get("subsets", ("default",))
    flops, seconds = cost
    return ListedTask(
        task=task,
        type=kind,
        splits=splits,
        subsets=subsets,
        size=TaskSize(
            type=kind,
            splits=splits,
            subsets=subsets,
            documents=documents,
            queries=queries,
            characters=characters,
            lengths=(),
        ),
        estimate=Estimate(tokens=900, encode_flops=flops, seconds=seconds),
    )


def unknown(task, kind="Retrieval"):
    return ListedTask(task, kind, ("test",), ("default",), None, None)


@pytest.fixture
def printed(capsys):
    def lines(entries, *notes):
        print_listing(entries, notes)
        captured = capsys.readouterr()
        assert captured.err == ""
        return [" ".join(line.split()) for line in captured.out.splitlines() if line.strip()]

    return lines


def test_tasks_stand_below_their_type_with_totals_of_each_and_of_all(printed):
    entries = [
        entry("B", size=(8_841_823, 6_980, 3_000_000_000)),
        entry("S", "STS", size=(200, 0, 31_300), cost=(1.5e12, 29.0)),
        entry("A", size=(1_177, 20, 4_000_000)),
    ]
    assert printed(entries)[2:] == [
        "Retrieval 2 tasks 8,843,000 7,000 3.00 G 5.00 T 2 min 30 s",
        "B test 8,841,823 6,980 3.00 G 2.50 T 1 min 15 s",
        "A test 1,177 20 4.00 M 2.50 T 1 min 15 s",
        "STS 1 task 200 0 31.3 k 1.50 T 29.0 s",
        "S test 200 0 31.3 k 1.50 T 29.0 s",
        "all 3 tasks 8,843,200 7,000 3.00 G 6.50 T 2 min 59 s",
    ]


def test_columns(printed):
    header = "type, task split documents queries characters FLOPs time"
    assert printed([entry("A")])[0] == header


def test_one_type_has_no_second_total(printed):
    assert [line.split()[0] for line in printed([entry("A"), entry("B")])[2:]] == [
        "Retrieval",
        "A",
        "B",
    ]


def test_what_is_unknown_is_a_dash_and_a_bound(printed):
    lines = printed([unknown("U"), entry("A"), unknown("V"), unknown("W", "STS")])
    bound = "≥ 1,000 ≥ 10 ≥ 4.00 k ≥ 2.50 T ≥ 1 min 15 s"
    assert lines[2:] == [
        f"Retrieval 3 tasks, 2 tasks unknown {bound}",
        "U test – – – – –",
        "A test 1,000 10 4.00 k 2.50 T 1 min 15 s",
        "V test – – – – –",
        "STS 1 task, 1 task unknown – – – – –",
        "W test – – – – –",
        f"all 4 tasks, 3 tasks unknown {bound}",
    ]


def test_without_a_model_sizes_are_there_and_costs_are_not(printed):
    lines = printed([entry("A", cost=(None, None)), entry("B", cost=(FLOPS, None))])
    assert lines[2:] == [
        "Retrieval 2 tasks 2,000 20 8.00 k ≥ 2.50 T –",
        "A test 1,000 10 4.00 k – –",
        "B test 1,000 10 4.00 k 2.50 T –",
    ]


@pytest.mark.parametrize(
    ("splits", "subsets", "place"),
    [
        (("dev",), ("default",), "dev"),
        (("validation", "test"), ("default",), "validation, test"),
        (("test",), ("en-en",), "test: en-en"),
        (("test",), ("en", "de"), "test: en, de"),
        (("test",), ("en", "de", "fr"), "test: 3 subsets"),
    ],
)
def test_split_and_subset(printed, splits, subsets, place):
    (line,) = printed([entry("A", splits=splits, subsets=subsets)])[3:]
    assert line.startswith(f"A {place} 1,000")


def test_notes_and_markup_are_plain_text(printed):
    lines = printed([entry("[bold]A[/bold]")], "4 characters a token", "[red]x\x1b[0m")
    assert lines[3].startswith("[bold]A[/bold] test")
    assert lines[4:] == ["4 characters a token", "[red]x\\x1b[0m"]


def test_long_names_are_whole(capsys):
    name = "TweetSentimentExtractionClassification"
    size = (930_485_132, 28_621_852, 494_000_000_000)
    print_listing([entry(name, size=size, subsets=("en", "de"), cost=(1.8e19, 4e8)), unknown("U")])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 110 for line in lines)
    assert "…" not in "".join(lines)
    first_column = "".join(line[: lines[1].index("split")].strip() for line in lines)
    assert name in first_column


def test_json_lines(capsys):
    listing_lines([entry("Ä", splits=("a", "b")), unknown("U"), entry("C", cost=(None, None))])
    out = capsys.readouterr().out
    first, second, third = map(json.loads, out.splitlines())
    assert "Ä" in out
    assert first == {
        "task": "Ä",
        "type": "Retrieval",
        "splits": ["a", "b"],
        "subsets": ["default"],
        "documents": 1_000,
        "queries": 10,
        "characters": 4_000,
        "tokens": 900,
        "encode_flops": FLOPS,
        "seconds": 75.0,
    }
    figures = ("documents", "queries", "characters", "tokens", "encode_flops", "seconds")
    assert [second[name] for name in figures] == [None] * 6
    assert [third[name] for name in figures] == [1_000, 10, 4_000, 900, None, None]


class TestListTask:
    SETTINGS: ClassVar = {
        "forward": QuadraticFlops(linear=1_000, quadratic=0),
        "max_length": 100,
        "characters_per_token": 4.0,
        "flops_per_second": 1e6,
    }

    def test_a_task_of_mteb(self):
        task = mteb.get_task("STS17", hf_subsets=["en-en"])
        listed = list_task(task, task_size(task), **self.SETTINGS)
        assert (listed.task, listed.type) == ("STS17", "STS")
        assert (listed.splits, listed.subsets) == (("test",), ("en-en",))
        assert listed.size.documents == 500
        assert listed.estimate.encode_flops == pytest.approx(1_000 * listed.size.characters / 4)
        assert listed.estimate.seconds == listed.estimate.encode_flops / 1e6

    def test_a_task_of_unknown_size(self):
        listed = list_task(mteb.get_task("LexRetrieval.v1"), None, **self.SETTINGS)
        assert (listed.splits, listed.size, listed.estimate) == (("test",), None, None)
