import csv
import json
import sys

import pytest

from harness.cli import _main
from harness.evaluation.published import Comparison, PublishedScore, PublishedScores
from harness.evaluation.rows import ResultRow
from harness.reporting.collect import Entry
from harness.reporting.published import beyond_tolerance, print_published, with_published

REVISION = "8b3219a92973c328a8e22fadcfa821b5dc75636a"


def comparison(ours=0.5, theirs=0.4, *, tolerance=0.001, published=None, **given):
    row = {
        "model": "org/m",
        "task": "T",
        "subset": "default",
        "split": "test",
        "mode": "dense",
        "kind": "dense",
        "metric": "ndcg_at_10",
        "value": ours,
        **given,
    }
    score = {name: row[name] for name in ("model", "task", "split", "subset", "metric")}
    score |= {"revision": REVISION, "value": theirs, "deviation": None, **(published or {})}
    return Comparison(ResultRow(**row), PublishedScore(**score), tolerance)


def printed(capsys, *comparisons):
    print_published(comparisons)
    captured = capsys.readouterr()
    assert captured.err == ""
    return [" ".join(line.split()) for line in captured.out.splitlines() if line.strip()]


def test_ours_stand_beside_theirs(capsys):
    title, header, _, *lines = printed(
        capsys,
        comparison(None, task="U"),
        comparison(0.64508, 0.64512),
        comparison(0.3999999, 0.4, task="S", mode="mine"),
    )
    assert title == "published scores of org/m"
    assert header == "task split/subset mode metric ours published difference revision"
    assert lines == [
        "S test/default mine nDCG@10 0.4000 0.4000 +0.0000 8b3219a9",
        "T test/default dense nDCG@10 0.6451 0.6451 +0.0000 8b3219a9",
        "U test/default dense nDCG@10 - 0.4000 - 8b3219a9",
    ]


def test_differences_have_a_sign(capsys):
    lines = printed(capsys, comparison(0.41, 0.4), comparison(0.39, 0.4, task="U"))
    assert [line.split()[-2] for line in lines[3:5]] == ["+0.0100", "-0.0100"]


def test_several_tasks_have_a_mean(capsys):
    *_, mean = printed(
        capsys,
        comparison(0.5, 0.4),
        comparison(0.7, 0.8, split="dev"),  # the same task: its places are averaged first
        comparison(0.2, 0.1, task="U"),
    )
    assert mean == "mean of 2 tasks dense 0.4000 0.3500 +0.0500"


def test_a_missing_value_leaves_no_mean(capsys):
    lines = printed(capsys, comparison(None), comparison(0.2, 0.1, task="U"))
    assert not any(line.startswith("mean") for line in lines)


def test_an_official_name_that_is_not_ours_is_under_it(capsys):
    official = {"task": "XQuADRetrieval", "split": "validation", "subset": "en"}
    *_, ours, theirs = printed(capsys, comparison(task="xquad-en", published=official))
    assert ours.startswith("xquad-en test/default dense")
    assert theirs == "= XQuADRetrieval = validation/en"


def test_every_published_model_has_a_table(capsys):
    bm25 = comparison(mode="bm25", published={"model": "mteb/baseline-bm25s"})
    lines = printed(capsys, comparison(), bm25, comparison(task="U"))
    titles = [line for line in lines if line.startswith("published scores")]
    assert titles == ["published scores of mteb/baseline-bm25s", "published scores of org/m"]


def test_text_from_outside_is_inert(capsys):
    odd = {"model": "[bold]m", "revision": "[red]\udcff\n"}
    title, *_, line = printed(capsys, comparison(task="[b]\x1b", mode="[i]", published=odd))
    assert title == "published scores of [bold]m"
    assert line.endswith("[red]\\udcff\\n")
    assert "[i]" in line


def test_no_comparison_prints_nothing(capsys):
    assert printed(capsys) == []


def test_what_is_beyond_the_tolerance_is_told():
    near = comparison(0.4005)
    far = comparison(0.45, tolerance=0.0123, subset="en")
    nothing = comparison(None, task="U")
    assert beyond_tolerance([near, far, nothing]) == [
        "org/m on T (test, en), dense: ndcg_at_10 is 0.4500, published is 0.4000 "
        f"(revision {REVISION}), tolerance 0.0123",
        "org/m on U (test, default), dense: ndcg_at_10 is -, published is 0.4000 "
        f"(revision {REVISION}), tolerance 0.0010",
    ]


def official(root, path, *, value=0.4, version="2.0.0"):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    scores = {"test": [{"hf_subset": "default", "ndcg_at_10": value}]}
    file.write_text(json.dumps({"mteb_version": version, "scores": scores}))
    return file


def test_every_entry_is_compared_at_its_own_revision(tmp_path):
    official(tmp_path, "org__m/r1/T.json", value=0.1, version="1.0.0")
    official(tmp_path, "org__m/r2/T.json", value=0.2)
    rows = [comparison().row, comparison(kind="hybrid").row]
    entries = [Entry(rows[0], "a", "r1"), Entry(rows[0], "b"), Entry(rows[1], "c", "r1")]
    found = with_published(entries, PublishedScores(tmp_path), tolerance=0.5)
    assert [(entry.row, entry.settings, entry.revision) for entry in found] == [
        (entry.row, entry.settings, entry.revision) for entry in entries
    ]
    assert [one.comparison and one.comparison.published.value for one in found] == [0.1, 0.2, None]
    assert found[0].comparison.tolerance == 0.5


def ours(root, *, kind="dense", model="org/m", task="T", value=0.5):
    """One result as `harness run` writes it."""
    folder = root / model.replace("/", "__") / "r1" / "experiments" / f"{kind}-abc"
    parts = {
        "experiment": {
            "mode": kind,
            "model": model,
            "revision": "r1",
            "main_metric": "ndcg_at_10",
            "settings": {"version": 1, "mode": {"kind": kind}},
            "folder": folder.name,
        },
        "environment": {"hardware": {"cpu": "Some CPU", "cores": 2, "gpus": []}},
        "cost": {},
    }
    (folder / task).mkdir(parents=True)
    for part, content in parts.items():
        (folder / task / f"{part}.json").write_text(json.dumps(content))
    place = {"hf_subset": "default", "ndcg_at_10": value, "main_score": value}
    result = {"dataset_revision": "d", "task_name": task, "scores": {"test": [place]}}
    (folder / f"{task}.json").write_text(json.dumps(result))


@pytest.fixture
def report(tmp_path, capfd, monkeypatch):
    """Run `harness report` in this process: status, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["harness"])
    monkeypatch.chdir(tmp_path)
    ours(tmp_path / "results")
    ours(tmp_path / "results", kind="bm25", model="baseline/bm25s", value=0.3)
    ours(tmp_path / "results", kind="hybrid", value=0.6)

    def run(*arguments):
        capfd.readouterr()
        status = _main(["report", *arguments])
        return status, *capfd.readouterr()

    return run


def figures(tmp_path):
    with (tmp_path / "leaderboards" / "leaderboard.csv").open() as file:
        return {row["mode"]: (row["published"], row["difference"]) for row in csv.DictReader(file)}


def test_the_report_shows_published_scores(report, tmp_path):
    official(tmp_path / "published", "org__m/r1/T.json", value=0.25)
    status, out, err = report("published=published")
    assert status == 0
    shares, _, compared = out.partition("published scores of org/m")
    assert "T hybrid 120.0 %" in " ".join(shares.split())
    assert [" ".join(line.split()) for line in compared.splitlines() if "T" in line] == [
        "T test/default dense nDCG@10 0.5000 0.2500 +0.2500 r1"
    ]
    assert "2 of 3 results have no published score\n" in err
    assert figures(tmp_path) == {"dense": ("0.25", "0.25"), "bm25": ("", ""), "hybrid": ("", "")}
    for name in ("index.html", "leaderboard.md"):
        assert "ours − published" in (tmp_path / "leaderboards" / name).read_text()


@pytest.mark.parametrize("arguments", [[], ["published=published"]])
def test_without_a_published_score_there_are_no_columns(report, tmp_path, arguments):
    official(tmp_path / "published", "org__other/r1/T.json")
    status, out, err = report(*arguments)
    assert status == 0
    assert "published" not in out
    assert ("3 of 3 results have no published score" in err) is bool(arguments)
    assert set(figures(tmp_path).values()) == {("", "")}
    for name in ("index.html", "leaderboard.md"):
        assert "published" not in (tmp_path / "leaderboards" / name).read_text()


def test_the_report_takes_names_by_hand(report, tmp_path):
    official(tmp_path / "published/results", "org__m/r1/Another.json")
    status, out, _ = report("published=published", "published_names={T:Another/default,x-y:Z}")
    assert status == 0
    assert "= Another" in out


def test_a_broken_published_file_is_named_and_the_rest_shown(report, tmp_path):
    official(tmp_path / "published", "org__m/r1/T.json")
    broken = official(tmp_path / "published", "mteb__baseline-bm25s/0_1_10/T.json")
    broken.write_text("{")
    status, _, err = report("published=published")
    assert status == 1
    assert (
        "published score left out: published/mteb__baseline-bm25s/0_1_10/T.json cannot be read "
        "as JSON; fetch it again\n"
    ) in err
    assert figures(tmp_path)["dense"][0] == "0.4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["published=absent"], "published=absent cannot be read (No such file or directory); name"),
        (["published=''"], "published is empty; give a folder"),
        (["published_names={T:U}"], "published_names needs published=DIR"),
        (["published=results", "published_names={T:''}"], "published_names.T='' names no task"),
        (["published=results", "published_names={T:U/}"], "published_names.T='U/' names no task"),
        (["published=results", "published_names={T:/en}"], "published_names.T='/en' names no"),
        (["published=results", "published_names={T:7}"], "published_names.T=7 names no task"),
        (["published=results", "published_names={T:{U:V}}"], "published_names.T={'U': 'V'} names"),
    ],
)
def test_bad_settings_are_one_line_and_nothing_is_written(report, tmp_path, arguments, message):
    status, out, err = report(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"harness: {message}")
    assert len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_several_configurations_of_a_mode_are_told_apart_and_have_no_mean(capsys):
    lines = printed(
        capsys,
        comparison(0.5, experiment="dense-cosine-mean-0123456789ab"),
        comparison(0.3, experiment="dense-cosine-cls-ba9876543210"),
        comparison(0.2, task="U"),
    )
    assert [line.split()[2:4] for line in lines[3:5]] == [
        ["dense", "0123456789ab"],
        ["dense", "ba9876543210"],
    ]
    assert not any(line.startswith("mean") for line in lines)
