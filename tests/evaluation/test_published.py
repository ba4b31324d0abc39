"""Published scores: which figure of theirs one of ours means, and some of them reproduced."""

import json
import os
from dataclasses import replace
from pathlib import Path

import mteb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import BadInputError
from harness.evaluation.published import Comparison, PublishedScore, PublishedScores, compare
from harness.evaluation.rows import ResultRow
from harness.evaluation.runner import Runner
from harness.evaluation.tasks.folder import folder_task

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).parents[3] / "shared"))
PUBLISHED = SHARED / "data" / "published"
MINILM = "sentence-transformers__all-MiniLM-L6-v2/8b3219a92973c328a8e22fadcfa821b5dc75636a"
BM25 = "mteb__baseline-bm25s/0_1_10"

needs_data = pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED} is absent")


def row(**given):
    usual = {
        "model": "org/m",
        "task": "T",
        "subset": "default",
        "split": "test",
        "mode": "dense",
        "kind": "dense",
        "metric": "ndcg_at_10",
        "value": 0.5,
    }
    return ResultRow(**{**usual, **given})


def place(value=0.4, subset="default", **more):
    return {"hf_subset": subset, "ndcg_at_10": value, "main_score": value, **more}


def write(root, path="org__m/r1/T.json", *, version="1.12.75", **splits):
    """One official file; `splits` are lists of places, by default one of 0.4 in split test."""
    content = {"mteb_version": version, "scores": splits or {"test": [place()]}}
    return write_as(root, path, json.dumps(content))


def write_as(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def score(root, names=None, revision=None, **ours):
    return PublishedScores(root, names=names).score(row(**ours), revision=revision)


def test_a_figure_is_known_by_model_task_split_subset_and_metric(tmp_path):
    write(
        tmp_path,
        train=[place(0.1)],
        test=[place(0.2, "en", map_at_10=0.3), place(0.4, "de"), place(0.5)],
    )
    assert score(tmp_path, subset="en", metric="map_at_10") == PublishedScore(
        model="org/m",
        revision="r1",
        task="T",
        split="test",
        subset="en",
        metric="map_at_10",
        value=0.3,
        deviation=None,
    )
    assert score(tmp_path, subset="de").value == 0.4
    assert score(tmp_path).value == 0.5
    assert score(tmp_path, split="train").value == 0.1
    assert score(tmp_path, metric="main_score").value == 0.5


@pytest.mark.parametrize(
    "other",
    [
        {"model": "org/other"},
        {"model": "org__m/r1"},
        {"model": ".."},
        {"model": "../x"},
        {"model": ""},
        {"model": "\0"},
        {"task": "U"},
        {"task": "../r1/T"},
        {"task": "model_meta"},
        {"split": "dev"},
        {"subset": "en"},
        {"metric": "recall_at_5"},
        {"metric": "hf_subset"},
        {"kind": "hybrid"},
        {"kind": "aligned_sparse"},
        {"kind": "bm25"},
    ],
)
def test_what_was_not_published_has_no_score(tmp_path, other):
    write(tmp_path)
    write_as(tmp_path, "org__m/r1/model_meta.json", "{}")
    write_as(tmp_path, "x/r1/T.json", "{}")
    published = PublishedScores(tmp_path)
    assert published.score(row()).value == 0.4
    assert published.score(row(**other)) is None
    assert published.faults == []


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "null", "true", '"0.4"', "[0.4, 0.0]", "9" * 400]
)
def test_what_is_no_finite_number_is_no_score(tmp_path, value):
    text = '{"scores": {"test": [{"hf_subset": "default", "ndcg_at_10": %s, "map_at_10": NaN}]}}'
    write_as(tmp_path, "org__m/r1/T.json", text % value)
    published = PublishedScores(tmp_path)
    assert published.score(row()) is None
    assert published.faults == []


def test_a_bare_nan_beside_it_does_no_harm(tmp_path):
    write(tmp_path, test=[place(0.4, nauc=float("nan"))])
    assert "NaN" in (tmp_path / "org__m/r1/T.json").read_text()
    assert score(tmp_path).value == 0.4


def test_old_files_may_lack_version_and_subset(tmp_path):
    write_as(tmp_path, "org__m/r1/T.json", '{"scores": {"test": [{"ndcg_at_10": 0.25}]}}')
    assert score(tmp_path).value == 0.25


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"scores": null}',
        '{"scores": {"test": {}}}',
        '{"scores": {"test": [1]}}',
        "\udcff",
        "[" * 100_000,
    ],
)
def test_a_broken_file_is_named_once_and_another_revision_is_taken(tmp_path, broken):
    write(tmp_path, "org__m/r1/T.json")
    file = tmp_path / "org__m/r2/T.json"
    file.parent.mkdir()
    file.write_bytes(broken.encode("utf-8", "surrogateescape"))
    published = PublishedScores(tmp_path)
    for _ in range(2):
        assert published.score(row(), revision="r2").revision == "r1"
    (line,) = published.faults
    assert str(file) in line
    assert line.endswith("; fetch it again")
    assert len(line.splitlines()) == 1


def test_only_files_that_are_asked_for_are_opened(tmp_path):
    write(tmp_path, version="2.0.0")
    for path in ("org__m/r1/U.json", "org__n/r1/T.json", "org__m/external/T.json", "org__m/T.json"):
        write_as(tmp_path, path, "no JSON")
    write(tmp_path, "org__m/ours/T.json", test=[place(0.3)])
    write_as(tmp_path, "org__m/r1/experiments/x/T.json", "no JSON")
    write_as(tmp_path, "README.md", "no folder")
    published = PublishedScores(tmp_path)
    assert published.score(row()).value == 0.4
    assert published.score(row(), revision="ours").value == 0.3
    assert published.score(row(model="README.md")) is None
    assert published.faults == []


def test_a_json_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "org__m/r1/T.json").mkdir(parents=True)
    published = PublishedScores(tmp_path)
    assert published.score(row()) is None
    (line,) = published.faults
    assert "T.json cannot be read as JSON" in line


def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    write(tmp_path, "other__m/r1/T.json")
    loop = tmp_path / "org__m"
    loop.symlink_to(loop)
    published = PublishedScores(tmp_path)
    assert published.score(row()) is None
    (line,) = published.faults
    assert line.startswith(f"{loop} cannot be read (")
    assert line.endswith("; check the folder and its permissions")


def test_a_clone_has_its_results_one_level_deeper(tmp_path):
    write(tmp_path / "results")
    assert score(tmp_path).value == 0.4


@pytest.mark.parametrize("name", ["absent", "file"])
def test_no_folder_is_refused(tmp_path, refusal, name):
    (tmp_path / "file").write_text("")
    message = refusal(lambda: PublishedScores(tmp_path / name))
    assert message.startswith(f"published={tmp_path / name} cannot be read (")
    assert "name a folder of official mteb results" in message


@pytest.mark.parametrize("depth", ["", "org__m/r1", "org__m"])
def test_a_folder_without_results_below_models_is_refused(tmp_path, depth):
    """Empty, or a level too deep."""
    if depth:
        write(tmp_path, "org__m/r1/T.json")
    with pytest.raises(BadInputError, match="holds no MODEL/REVISION/TASK") as refused:
        PublishedScores(tmp_path / depth)
    assert str(refused.value).endswith("name the folder above those of the models")


def test_bm25_of_reranking_tasks_has_none(tmp_path):
    """mteb's baseline ranks the whole collection there and drops what is no candidate."""
    write(tmp_path, "mteb__baseline-bm25s/1/T.json")
    ours = row(kind="bm25", mode="bm25")
    assert PublishedScores(tmp_path).score(ours) is not None
    assert PublishedScores(tmp_path).score(replace(ours, task_type="Reranking")) is None


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("org/m (x=1, y) ü%2F", "org__m_(x=1,_y)_ü%2F"),
        ("a/b/c", "a__b__c"),
        ("bare", "bare"),
        (".hidden", ".hidden"),
    ],
)
def test_folders_are_named_as_mteb_names_them(tmp_path, model, folder):
    write(tmp_path, f"{folder}/r1/T.json")
    found = score(tmp_path, model=model)
    assert (found.model, found.value) == (model, 0.4)


def test_bm25_has_the_scores_of_mtebs_baseline(tmp_path):
    names = ("baseline__bm25s", "bm25s", "mteb__baseline-bm25s")  # the last one found wins
    for number, name in enumerate(names, start=1):
        write(tmp_path, f"{name}/0_1_10/T.json", test=[place(number / 10)])
        found = score(tmp_path, kind="bm25", mode="lexical", model="org/m")
        assert found.value == number / 10
        assert found.model == name.replace("__", "/")
    write(tmp_path, "bm25s/0_1_10/U.json", test=[place(0.9)])
    assert score(tmp_path, kind="bm25", task="U").model == "bm25s"


def test_the_older_names_of_the_baseline_are_mtebs():
    from mteb.models.get_model_meta import _MODEL_RENAMES

    from harness.evaluation.published import _BM25_MODELS

    renamed = {old for old, new in _MODEL_RENAMES.items() if new == _BM25_MODELS[0]}
    assert renamed == set(_BM25_MODELS[1:])


VERSIONS = {
    "external": None,
    "no_revision_available": "9.0.0",
    "a": "1.9.0",
    "b": "1.12.22",
    "c": "1.12.3.dev1",
    "d": None,
}


@pytest.mark.parametrize(
    ("ours", "there", "taken"),
    [
        (None, "abcd", "b"),
        ("c", "abcd", "c"),
        ("unknown", "ac", "c"),
        ("external", "ab", "external"),
        (None, "ad", "a"),
        (None, "d", "d"),
        (None, "", "no_revision_available"),
    ],
)
def test_the_revision_is_ours_else_the_newest_known_one(tmp_path, ours, there, taken):
    for revision in (*there, "external", "no_revision_available"):
        write(tmp_path, f"org__m/{revision}/T.json", version=VERSIONS[revision])
    assert score(tmp_path, revision=ours).revision == taken


def test_a_revision_without_the_figure_gives_way(tmp_path):
    write(tmp_path, "org__m/r1/T.json", version="1.0.0", test=[place(0.4), place(0.3, "en")])
    write(tmp_path, "org__m/r2/T.json", version="2.0.0")
    assert score(tmp_path).revision == "r2"
    assert score(tmp_path, subset="en", revision="r2").revision == "r1"


NAMES = {
    "SciFact": {"train": [place(0.1)], "test": [place(0.2)]},
    "NFCorpus": {"test": [place(0.3)]},
    "NFCorpus-PL": {"test": [place(0.31)]},
    "XQuADRetrieval": {"validation": [place(0.4, "en"), place(0.41, "zh-Hans"), place(0.42, "es")]},
    "XQuADes": {"test": [place(0.5)]},
    "Banking77Classification": {"dev": [place(0.6)], "validation": [place(0.61)]},
    "KLUE-STS": {"validation": [place(0.7)]},
    "Posts": {"test": [place(0.8)]},
    "TwinReranking": {"test": [place(0.9)]},
    "TwinRetrieval": {"test": [place(0.91)]},
    "Retrieval": {"test": [place(0.95)]},
}


@pytest.mark.parametrize(
    ("folder", "value"),
    [
        ("scifact", 0.2),  # of two splits, the one of equal name
        ("Sci_fact", 0.2),
        ("nfcorpus", 0.3),
        ("nfcorpus-pl", 0.31),
        ("xquad-en", 0.4),  # its only split has another name
        ("XQuADRetrieval.en", 0.4),
        ("xquad zh hans", 0.41),
        ("xquad-es", None),  # a task and a subset
        ("xquad", None),  # no subset
        ("xquad-de", None),
        ("banking77", None),  # two splits of other names
        ("klue", 0.7),
        ("po", None),  # what a name only seems to end in
        ("twin", None),  # two tasks
        ("twin-reranking", 0.9),
        ("retrieval", 0.95),
        ("---", None),
        ("sci", None),
    ],
)
def test_a_folder_is_known_by_a_similar_name(tmp_path, folder, value):
    for task, splits in NAMES.items():
        write(tmp_path, f"org__m/r1/{task}.json", **splits)
    found = score(tmp_path, task=folder, dataset_revision="0" * 32)
    assert (found and found.value) == value


def test_the_record_tells_what_a_similar_name_was_taken_for(tmp_path):
    write(tmp_path, "org__m/r1/XQuADRetrieval.json", validation=[place(0.4, "en")])
    found = score(tmp_path, task="xquad-en")
    assert (found.task, found.split, found.subset) == ("XQuADRetrieval", "validation", "en")


def test_a_task_that_is_pinned_to_a_commit_is_known_by_its_exact_name_alone(tmp_path):
    write(tmp_path, "org__m/r1/SciFact.json")
    commit = "0228b52cf27578f30900b9e5271d331663a030d7"
    assert score(tmp_path, task="SciFact", dataset_revision=commit).value == 0.4
    assert score(tmp_path, task="scifact", dataset_revision=commit) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("XQuADRetrieval/en", 0.4),
        ("XQuADRetrieval/zh-Hans", 0.41),
        ("XQuADRetrieval", None),  # three subsets, none of our name
        ("KLUE-STS", 0.7),
        ("KLUE-STS/en", None),
        ("absent", None),
        ("../r1/SciFact", None),
    ],
)
def test_given_names_win(tmp_path, name, value):
    for task, splits in NAMES.items():
        write(tmp_path, f"org__m/r1/{task}.json", **splits)
    found = score(tmp_path, names={"SciFact": name}, task="SciFact")
    assert (found and found.value) == value


def test_a_given_name_without_a_subset_means_the_only_one(tmp_path):
    write(tmp_path, test=[place(0.4, "en")])
    assert score(tmp_path, names={"mine": "T"}, task="mine").subset == "en"


EXPERIMENTS = [{"accuracy": value} for value in (0.5, 0.7, 0.6, 0.6)]  # deviation √(0.02 / 3)


@pytest.mark.parametrize(
    ("experiments", "deviation"),
    [
        (EXPERIMENTS, 0.0816496580927726),
        ([*EXPERIMENTS, {"f1": 0.1}, None, {"accuracy": float("nan")}], 0.0816496580927726),
        (EXPERIMENTS[:1], None),
        ([], None),
        (None, None),
        ({"accuracy": 0.5}, None),
    ],
)
def test_the_deviation_is_that_of_the_experiments(tmp_path, experiments, deviation):
    write(tmp_path, test=[place(0.4, accuracy=0.6, scores_per_experiment=experiments)])
    assert score(tmp_path, metric="accuracy").deviation == (deviation and pytest.approx(deviation))
    assert score(tmp_path).deviation is None


def published_score(value, deviation=None):
    where = {"model": "m", "revision": "r", "task": "T", "split": "test", "subset": "default"}
    return PublishedScore(**where, metric="ndcg_at_10", value=value, deviation=deviation)


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance", "within"),
    [
        (0.5, 0.5, 0.0, True),
        (0.501, 0.5, 0.001, True),  # the difference in floats is a little above
        (0.499, 0.5, 0.001, True),
        (0.50101, 0.5, 0.001, False),
        (0.49899, 0.5, 0.001, False),
        (None, 0.5, 1.0, False),
        (-0.2, 0.2, 0.5, True),
    ],
)
def test_what_is_within_the_tolerance(ours, theirs, tolerance, within):
    comparison = Comparison(row(value=ours), published_score(theirs), tolerance)
    assert comparison.within is within
    assert comparison.difference == (None if ours is None else ours - theirs)


@given(ours=st.floats(-1, 1), theirs=st.floats(-1, 1), tolerance=st.floats(0, 1))
def test_within_is_symmetric_and_grows_with_the_tolerance(ours, theirs, tolerance):
    def within(one, other, allowed):
        return Comparison(row(value=one), published_score(other), allowed).within

    assert within(ours, theirs, tolerance) == within(theirs, ours, tolerance)
    assert within(ours, theirs, tolerance) <= within(ours, theirs, tolerance + 0.1)
    assert within(ours, ours, tolerance)


def test_rows_are_compared_in_order_and_a_larger_deviation_is_allowed(tmp_path):
    classified = place(0.6, accuracy=0.6, scores_per_experiment=EXPERIMENTS)
    write(tmp_path, test=[classified])
    rows = [
        row(metric="accuracy", value=0.53),
        row(kind="hybrid", mode="hybrid"),
        row(value=0.603),
        row(value=0.6005),
    ]
    found = compare(rows, PublishedScores(tmp_path))
    assert [one.row for one in found] == [rows[0], rows[2], rows[3]]
    assert [one.tolerance for one in found] == [pytest.approx(0.08164965809), 0.002, 0.002]
    assert [one.within for one in found] == [True, False, True]
    assert [one.difference for one in found] == pytest.approx([-0.07, 0.003, 0.0005])
    strict = compare(rows[:1], PublishedScores(tmp_path), tolerance=0.5)
    assert strict[0].tolerance == 0.5


def test_comparing_prefers_our_revision(tmp_path):
    write(tmp_path, "org__m/r1/T.json", version="1.0.0")
    write(tmp_path, "org__m/r2/T.json", version="2.0.0")
    published = PublishedScores(tmp_path)
    revisions = [compare([row()], published, revision=ours) for ours in (None, "r1", "other")]
    assert [found[0].published.revision for found in revisions] == ["r2", "r1", "r2"]


OFFICIAL = [
    ({"task": "STSBenchmark", "metric": "cosine_spearman"}, 0.8203247283076371),
    ({"task": "STSBenchmark", "metric": "main_score"}, 0.8203247283076371),
    ({"task": "STSBenchmark", "metric": "spearman"}, None),  # [correlation, p value]
    ({"task": "SciFact"}, 0.64508),
    ({"task": "scifact"}, 0.64508),
    ({"task": "scifact", "kind": "bm25"}, 0.68736),
    ({"task": "XQuADRetrieval", "subset": "en", "split": "validation"}, 0.94357),
    ({"task": "XQuADRetrieval", "subset": "en"}, None),
    ({"task": "xquad-en"}, 0.94357),
    ({"task": "xquad-en", "kind": "bm25"}, 0.96494),
    ({"task": "Banking77Classification", "metric": "accuracy"}, 0.8004220779220779),
    ({"task": "banking77", "metric": "accuracy"}, 0.8004220779220779),
]


@needs_data
@pytest.mark.parametrize(("ours", "value"), OFFICIAL)
def test_official_files(ours, value):
    found = score(PUBLISHED, model="sentence-transformers/all-MiniLM-L6-v2", **ours)
    assert (found and found.value) == value
    if found:
        assert found.revision == (BM25 if ours.get("kind") else MINILM).split("/")[1]


@needs_data
def test_the_official_deviation_of_banking77():
    model = "sentence-transformers/all-MiniLM-L6-v2"
    found = score(PUBLISHED, model=model, task="Banking77Classification", metric="accuracy")
    runs = json.loads((PUBLISHED / MINILM / "Banking77Classification.json").read_text())
    values = [one["accuracy"] for one in runs["scores"]["test"][0]["scores_per_experiment"]]
    assert len(values) == 10
    mean = sum(values) / 10
    assert found.value == pytest.approx(mean)
    assert found.deviation == pytest.approx((sum((v - mean) ** 2 for v in values) / 9) ** 0.5)
    assert found.deviation == pytest.approx(0.00815, abs=5e-4)


@needs_data
@pytest.mark.parametrize(
    ("model", "task", "revision"),
    [
        ("BAAI/bge-base-en-v1.5", "FiQA2018", "external"),
        ("minishlab/potion-base-8M", "SciFact", "external"),
        ("minishlab/potion-base-8M", "xquad-en", "dcbec7aa2d52fc76754ac6291803feedd8c619ce"),
        (
            "sentence-transformers/all-mpnet-base-v2",
            "ArguAna",
            "9a3225965996d404b775526de6dbfe85d3368642",
        ),
    ],
)
def test_official_revisions(model, task, revision):
    assert score(PUBLISHED, model=model, task=task).revision == revision


def published(model, task, subset, split):
    scores = json.loads((PUBLISHED / model / f"{task}.json").read_text())["scores"][split]
    (found,) = [score for score in scores if score["hf_subset"] == subset]
    return found["ndcg_at_10"]


def ndcg(outcome):
    return {row.mode: row.value for row in outcome.rows}


def mteb_bm25(folder):
    model = mteb.get_model("mteb/baseline-bm25s")
    result = mteb.evaluate(
        model, folder_task(folder), cache=None, co2_tracker=False, show_progress_bar=False
    )
    return result.task_results[0].scores["test"][0]["ndcg_at_10"]


def check_modes(scores, *, dense, bm25, own_bm25):
    assert scores["dense"] == pytest.approx(dense, abs=2e-4)
    assert scores["bm25"] == pytest.approx(bm25, abs=2e-3)
    assert scores["bm25"] == pytest.approx(own_bm25, abs=2e-3)
    assert scores["hybrid"] > max(scores["dense"], scores["bm25"])


@pytest.mark.slow
@needs_data
def test_xquad_en(run_config):
    folder = SHARED / "data" / "beir" / "xquad-en"
    outcome = Runner(run_config(f"tasks.path={folder}")).run()
    assert outcome.texts_encoded == 240 + 1185
    check_modes(
        ndcg(outcome),
        dense=published(MINILM, "XQuADRetrieval", "en", "validation"),
        bm25=published(BM25, "XQuADRetrieval", "en", "validation"),
        own_bm25=mteb_bm25(folder),
    )


@needs_data
@pytest.mark.slow
def test_scifact(run_config):
    folder = SHARED / "data" / "beir" / "scifact"
    overrides = [f"tasks.path={folder}"]
    outcome = Runner(run_config(*overrides)).run()
    assert outcome.texts_encoded == 5183 + 300
    scores = ndcg(outcome)
    check_modes(
        scores,
        dense=published(MINILM, "SciFact", "default", "test"),
        bm25=published(BM25, "SciFact", "default", "test"),
        own_bm25=mteb_bm25(folder),
    )
    assert scores["aligned_sparse"] >= 0.98 * scores["dense"]
    for experiment, least in (("ridge_normalised", 0.98), ("aligned_words", 1.03)):
        other = Runner(run_config(*overrides, f"experiment={experiment}")).run()
        assert other.texts_encoded == 0
        assert ndcg(other)["aligned_sparse"] >= least * scores["dense"]
    assert Runner(run_config(*overrides)).run().texts_encoded == 0
