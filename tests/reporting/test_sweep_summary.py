"""All jobs side by side; values worked by hand."""

import numpy as np

from harness.reporting.sweep_summary import print_summary, summary, summary_figure
from harness.sweep.record import JobRecord


def row(mode, value, flops, **given):
    usual = {
        **{"mode": mode, "kind": mode, "metric": "nDCG@10", "tasks": ["T"], "value": value},
        **{"query_flops": flops, "scoring_flops_per_query": flops, "latency_p50_ms": 0.5},
        **{"corpus_flops": 2e9, "index_bytes": 2048, "texts_encoded": 0},
    }
    return usual | given


def job(number, setting, *rows, **given):
    given = {"status": "done", "seconds": 2.0} | given
    return JobRecord(number=number, overrides=["x=1", setting], rows=list(rows), **given)


JOBS = [
    job(0, "r.k=8", row("dense", 0.5, 1000), row("sparse", 0.25, 10)),
    job(1, "r.k=16", row("dense", 0.5, 1000), row("sparse", 0.5, 20)),
    job(2, "r.k=32", row("dense", 0.5, 1000), row("sparse", 0.5, 40)),
    job(3, "r.k=no", status="failed"),
]


def test_a_row_each_job_and_mode():
    frame = summary(JOBS)
    assert list(frame["job"]) == [0, 0, 1, 1, 2, 2, 3]
    assert list(frame["settings"][::2]) == ["k=8", "k=16", "k=32", "k=no"]
    assert list(frame["status"]) == ["done"] * 6 + ["failed"]
    assert list(frame["value"][:6]) == [0.5, 0.25, 0.5, 0.5, 0.5, 0.5]
    assert np.isnan(frame["value"][6])
    assert frame["mode"].isna().tolist() == [False] * 6 + [True]


def test_the_best_of_a_mode_and_the_front_of_all():
    frame = summary(JOBS)
    found = list(zip(frame["job"], frame["mode"], frame["best"], frame["front"], strict=True))
    assert found[:6] == [
        (0, "dense", False, False),  # all jobs have it alike
        (0, "sparse", False, True),
        (1, "dense", False, False),
        (1, "sparse", True, True),
        (2, "dense", False, False),
        (2, "sparse", True, False),  # as good, and takes more
    ]


def test_jobs_of_other_tasks_do_not_compete():
    jobs = [
        job(0, "t=A", row("bm25", 0.9, 1, tasks=["A"])),
        job(1, "t=B", row("bm25", 0.1, 1, tasks=["B"])),
    ]
    frame = summary(jobs)
    assert list(frame["best"]) == [False, False]
    assert list(frame["front"]) == [True, True]
    assert list(frame["task"]) == ["A", "B"]


def printed(capsys, jobs):
    print_summary(summary(jobs))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_a_line_each_job(capsys):
    lines = printed(capsys, JOBS)
    assert lines[0] == "sweep on T"
    assert (
        lines[1] == "job settings nDCG@10 sparse FLOPs/query of scoring ms/query index FLOPs/corpus"
    )
    assert lines[3:] == [
        "0 k=8 0.2500 10.0 10.0 0.50 2.00 KiB 2.00 G",
        "1 k=16 0.5000* 20.0 20.0 0.50 2.00 KiB 2.00 G",
        "2 k=32 0.5000* 40.0 40.0 0.50 2.00 KiB 2.00 G",
        "in all jobs dense: 0.5000, FLOPs/query 1.00 k",
        "* the best of its mode",
    ]


def test_modes_side_by_side(capsys):
    jobs = [
        job(0, "h=a", row("dense", 0.5, 1000), row("sparse", 0.25, 10)),
        job(1, "h=b", row("dense", 0.75, 2000)),
    ]
    assert printed(capsys, jobs)[3:] == [
        "0 h=a 0.5000 1.00 k 0.2500 10.0",
        "1 h=b 0.7500* 2.00 k - -",
        "* the best of its mode",
    ]


def test_a_sweep_that_changes_nothing_has_its_table(capsys):
    jobs = [job(n, f"h={n}", row("bm25", None if n else 0.5, 3)) for n in range(1)]
    assert printed(capsys, jobs)[3:] == ["0 x=1 h=0 0.5000 3.00 3.00 0.50 2.00 KiB 2.00 G"]
    jobs = [job(n, f"h={n}", row("bm25", 0.5, 3)) for n in range(2)]
    assert len(printed(capsys, jobs)) == 5


def test_text_from_outside_is_escaped(capsys):
    jobs = [job(n, f"m=\x1b[31m{n}", row("a\x1bb", n, 3, tasks=["T\x1b"])) for n in range(2)]
    print_summary(summary(jobs))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "m=\\x1b[31m0" in out


def test_figure():
    figure = summary_figure(summary(JOBS))
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "T"
    shown = {text.get_text() for text in axes.texts}
    assert shown == {"dense", "k=8", "k=16", "k=32"}
