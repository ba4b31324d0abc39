"""The plan of a sweep: what jobs share is planned once; worked by hand."""

import json

from harness.reporting.sweep_plan import print_plan, shared_once


def entry(task="T", *, stored=(), missing=(), space="s", texts=0, flops=0.0, seconds=0.0, note=""):
    return {
        **{"task": task, "stored": list(stored), "missing": dict(missing), "space": space},
        **{"texts": texts, "flops": flops, "seconds": seconds, "note": note},
    }


def planned(k, space="s"):
    work = {"texts": 10, "flops": 2e9, "seconds": 1.5, "note": "a rate"}
    return entry(missing={"dense": f"d-{space}", "sparse": f"k-{k}"}, space=space, **work)


JOBS = [
    ("k=8", [planned(8)]),
    ("k=16", [planned(16)]),
    ("k=16 m=b", [planned(16, "other")]),
    ("k=1", [entry(stored=["dense", "sparse"])]),
]


def test_embeddings_and_results_are_made_once():
    shared = shared_once(JOBS)
    assert [(job, own[0]["missing"], own[0]["shared"]) for job, own in shared] == [
        ("k=8", ["dense", "sparse"], []),
        ("k=16", ["sparse"], ["dense"]),
        ("k=16 m=b", ["dense"], ["sparse"]),
        ("k=1", [], []),
    ]
    assert [own[0]["texts"] for _, own in shared] == [10, 0, 10, 0]
    assert [own[0]["seconds"] for _, own in shared] == [1.5, 0.0, 1.5, 0.0]


def test_tasks_have_embeddings_of_their_own():
    both = [entry("A", texts=1), entry("B", texts=2)]
    ((_, first), (_, second)) = shared_once([("1", both), ("2", both)])
    assert [one["texts"] for one in (*first, *second)] == [1, 2, 0, 0]


def test_table(capsys):
    print_plan(JOBS, as_json=False)
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines() if line.strip()]
    assert lines[0] == "job settings task stored to be computed texts FLOPs time"
    assert lines[2:] == [
        "0 k=8 T - dense, sparse 10 2.00 G 1.50 s",
        "1 k=16 T dense by then sparse - - -",
        "2 k=16 m=b T sparse by then dense 10 2.00 G 1.50 s",
        "3 k=1 T dense, sparse - - - -",
    ]
    assert err.splitlines() == [
        "a rate",
        "4 jobs: 4 results to be computed, 2 stored; to be encoded 20 texts, 4.00 GFLOPs, 3.00 s; "
        "searching and fitting heads are not in it",
    ]


def test_what_is_unknown_is_said(capsys):
    unknown = entry(missing={"dense": "d"}, texts=None, flops=None, seconds=None)
    print_plan([("defaults", [unknown])], as_json=False)
    out, err = capsys.readouterr()
    assert out.split()[-3:] == ["?", "?", "?"]
    assert "1 job: 1 result to be computed, 0 stored; to be encoded at least 0 texts" in err


def test_json(capsys):
    print_plan(JOBS, as_json=True)
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["job"], one["settings"], one["texts"]) for one in objects] == [
        *((0, "k=8", 10), (1, "k=16", 0), (2, "k=16 m=b", 10), (3, "k=1", 0))
    ]
    assert objects[1]["missing"] == ["sparse"]
    assert objects[1]["shared"] == ["dense"]
