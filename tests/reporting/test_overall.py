"""Means, missing tasks, ranks and macro shares over literal tasks, by hand."""

import numpy as np
import pytest

from harness.reporting.collect import collect
from harness.reporting.standings import ALL, standings
from harness.reporting.systems import systems_of
from tests.reporting.written import DENSE, place, write

SPARSE = {"kind": "aligned_sparse", "doc_top_k": 8, "query_expansion": 0}


def result(root, mode, task, scores, *, task_type="Retrieval", model="org/model", **given):
    """A result whose value is the mean of its queries' scores, or that has none of queries."""
    queries = {f"q{number}": score for number, score in enumerate(scores)}
    mean = float(np.mean(scores))
    name = "dense" if mode is DENSE else "sparse"
    if task_type == "Retrieval":
        given["per_query"] = queries
    path = write(
        root,
        mode=mode,
        name=name,
        task=task,
        model=model,
        scores=place(ndcg_at_10=mean, main_score=mean),
        **given,
    )
    experiment = path.with_suffix("") / "experiment.json"
    text = experiment.read_text().rstrip("}") + f', "task_type": "{task_type}"}}'
    experiment.write_text(text)


def assessed(root, **given):
    found = standings(collect(root).entries, **given)
    by_mode = {
        (system.row.model, system.row.mode): number for number, system in enumerate(found.systems)
    }
    return found, by_mode


def test_means_and_shares_over_two_tasks(tmp_path):
    """T: 0.3 of 0.6 is 50 %; U: 0.4 of 0.5 is 80 %: 65 % in the mean, 0.35 of 0.55."""
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    result(tmp_path, DENSE, "U", [0.5, 0.5, 0.5])
    result(tmp_path, SPARSE, "U", [0.4, 0.4, 0.4])
    found, number = assessed(tmp_path)
    sparse = found.overall[ALL][number["org/model", "sparse"]]
    dense = found.overall[ALL][number["org/model", "dense"]]
    assert (sparse.mean, dense.mean) == pytest.approx((0.35, 0.55))
    # A quarter of T's resamples have 0.2, a quarter 0.4; all of U's 0.4.
    assert (sparse.low, sparse.high) == pytest.approx((0.3, 0.4))
    assert (sparse.rank, dense.rank) == (2, 1)
    assert (sparse.borda, dense.borda) == (0, 2)
    assert (sparse.share.value, sparse.share.tasks) == (pytest.approx(0.65), 2)
    assert dense.share is None
    # Each task's share is the same whichever queries are drawn.
    assert (sparse.share.low, sparse.share.high) == pytest.approx((0.65, 0.65))
    assert sparse.share.verdict == "not reached"
    assert (sparse.share.wins, sparse.share.ties, sparse.share.losses) == (0, 0, 5)
    # Of 32 assignments of signs only the observed one and its opposite are as extreme.
    assert sparse.share.p == pytest.approx(2 / 32, abs=0.01)


def test_a_threshold_is_the_user_s(tmp_path):
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    for threshold, expected in ((0.4, "reached"), (0.5, "undecided"), (0.6, "not reached")):
        found, number = assessed(tmp_path, threshold=threshold)
        key = number["org/model", "sparse"], found.places[0]
        assert found.assessments[key].share.verdict == expected


def test_a_missing_task_is_missing_and_not_averaged_over(tmp_path):
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    result(tmp_path, DENSE, "U", [0.5, 0.7])
    found, number = assessed(tmp_path)
    sparse = found.overall[ALL][number["org/model", "sparse"]]
    assert (sparse.mean, sparse.rank, sparse.missing, sparse.tasks) == (None, None, 1, 2)
    assert sparse.rank_borda == 2  # as mteb: a missing task earns nothing
    assert (sparse.share.value, sparse.share.tasks) == (pytest.approx(0.5), 1)
    assert sparse.costs["query_flops"] is None
    assert found.overall[ALL][number["org/model", "dense"]].costs["query_flops"] == 1e6


def test_types_have_tabs_and_a_task_without_queries_no_interval(tmp_path):
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    result(tmp_path, DENSE, "V", [0.5], task_type="STS")
    result(tmp_path, SPARSE, "V", [0.4], task_type="STS")
    found, number = assessed(tmp_path)
    assert found.types == ["Retrieval", "STS"]
    sparse = {tab: lines[number["org/model", "sparse"]] for tab, lines in found.overall.items()}
    assert sparse[ALL].share.value == pytest.approx(0.65)
    assert (sparse[ALL].share.low, sparse[ALL].share.verdict) == (None, None)
    assert (sparse[ALL].low, sparse["STS"].high) == (None, None)
    assert sparse["Retrieval"].low == pytest.approx(0.2)
    assert sparse["Retrieval"].share.low == pytest.approx(0.5)
    assert (sparse["STS"].share.value, sparse["STS"].share.p) == (pytest.approx(0.8), None)
    assert sparse["STS"].group == ""


def test_subsets_of_a_task_weigh_as_one_task(tmp_path):
    """T has subsets of 0.2 and 0.4, U 0.6: the mean over tasks is 0.45, over places 0.4."""
    scores = {
        "test": [
            {"hf_subset": name, "ndcg_at_10": value, "main_score": value}
            for name, value in (("de", 0.2), ("en", 0.4))
        ]
    }
    write(tmp_path, scores=scores, cost={})
    write(tmp_path, task="U", scores=place(ndcg_at_10=0.6, main_score=0.6))
    found, number = assessed(tmp_path)
    assert len(found.places) == 3
    assert found.overall[ALL][number["org/model", "dense"]].mean == pytest.approx(0.45)


def test_a_task_s_share_is_that_of_its_means(tmp_path):
    """Subsets of 0.2 of 0.1 and 0.1 of 0.8: a third of dense, not the mean of 200 % and 12.5 %."""
    for mode, name, values in ((DENSE, "dense", (0.1, 0.8)), (SPARSE, "sparse", (0.2, 0.1))):
        scores = {
            "test": [
                {"hf_subset": subset, "ndcg_at_10": value, "main_score": value}
                for subset, value in zip(("de", "en"), values, strict=True)
            ]
        }
        write(tmp_path, mode=mode, name=name, scores=scores, cost={})
    found, number = assessed(tmp_path)
    assert found.overall[ALL][number["org/model", "sparse"]].share.value == pytest.approx(1 / 3)


def test_tasks_are_drawn_independently(tmp_path):
    """One task's scores are the other's reversed: drawn alike, their mean would never vary."""
    rng = np.random.default_rng(0)
    scores = rng.random(50)
    for task, values in (("T", scores), ("U", 1 - scores)):
        result(tmp_path, DENSE, task, [0.5] * 50)
        result(tmp_path, SPARSE, task, values)
    found, number = assessed(tmp_path)
    share = found.overall[ALL][number["org/model", "sparse"]].share
    assert share.value == pytest.approx(1)
    assert share.high - share.low > 0.1


def test_another_task_changes_no_interval_of_the_first(tmp_path):
    rng = np.random.default_rng(1)
    for root, tasks in (("one", "T"), ("two", "STU")):
        for task in tasks:
            result(tmp_path / root, DENSE, task, rng.random(20) if task != "T" else [0.5, 0.7, 0.9])
    low = []
    for root in ("one", "two"):
        found, _ = assessed(tmp_path / root)
        (place,) = (place for place in found.places if place.task == "T")
        low.append(found.assessments[0, place].low)
    assert low[0] == low[1]


def test_one_query_tells_of_no_spread(tmp_path):
    result(tmp_path, DENSE, "T", [1.0])
    result(tmp_path, SPARSE, "T", [0.9])
    found, number = assessed(tmp_path)
    sparse = found.assessments[number["org/model", "sparse"], found.places[0]]
    assert (sparse.low, sparse.group) == (None, "")
    share = sparse.share
    assert (share.value, share.low, share.verdict, share.p) == (
        pytest.approx(0.9),
        None,
        None,
        None,
    )
    assert (share.wins, share.ties, share.losses) == (0, 0, 1)


def test_what_dense_hardly_finds_decides_nothing(tmp_path):
    """Dense finds 1 of 30 queries, so that a third of the resamples have nothing in it."""
    result(tmp_path, DENSE, "T", [1.0, *[0.0] * 29])
    result(tmp_path, SPARSE, "T", [0.03] * 30)
    found, number = assessed(tmp_path, threshold=0.95)
    share = found.assessments[number["org/model", "sparse"], found.places[0]].share
    assert share.value == pytest.approx(0.9)
    assert (share.low, share.high, share.verdict) == (None, None, "undecided")


def test_a_task_on_which_dense_finds_nothing_leaves_the_others_their_interval(tmp_path):
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    result(tmp_path, SPARSE, "T", [0.2, 0.4])
    result(tmp_path, DENSE, "U", [0.0, 0.0])
    result(tmp_path, SPARSE, "U", [0.1, 0.2])
    found, number = assessed(tmp_path)
    share = found.overall[ALL][number["org/model", "sparse"]].share
    assert (share.value, share.low, share.tasks) == (pytest.approx(0.5), pytest.approx(0.5), 1)


def test_a_system_with_some_subsets_only_is_shown_without_a_mean(tmp_path):
    def scores(*subsets):
        return {"test": [{"hf_subset": s, "ndcg_at_10": 0.5, "main_score": 0.5} for s in subsets]}

    write(tmp_path, scores=scores("de", "en"), cost={})
    write(tmp_path, model="org/other", scores=scores("en"), cost={})
    found, number = assessed(tmp_path)
    other = found.overall[ALL][number["org/other", "dense"]]
    assert (other.mean, other.missing, other.tasks) == (None, 1, 1)


def test_degrees_of_freedom_are_those_of_the_tasks_that_differ(tmp_path):
    """All of the difference is in three queries: 5,000 others that agree tell nothing of it."""
    rng = np.random.default_rng(2)
    same = rng.random(5000)
    for mode, values in ((DENSE, [0.9, 0.7, 0.8]), (SPARSE, [0.3, 0.5, 0.1])):
        result(tmp_path, mode, "Small", values)
        result(tmp_path, mode, "Large", same)
    found, _ = assessed(tmp_path, resamples=100)
    # Differences 0.6, 0.2 and 0.7: t = 3.27, p = .08 with 2 degrees of freedom, .001 with 5,001.
    assert {line.group for line in found.overall[ALL]} == {"a"}


def test_a_large_family_can_be_significant(tmp_path):
    """Six comparisons by 100 assignments could not be: Holm would multiply 1/101 by six."""
    scores = np.linspace(0.5, 1, 25)
    for task in range(2):
        result(tmp_path, DENSE, f"T{task:02}", scores)
        for top_k in range(3):
            mode = {**SPARSE, "doc_top_k": top_k + 1}
            write(
                tmp_path,
                mode=mode,
                name=f"sparse{top_k}",
                task=f"T{task:02}",
                scores=place(ndcg_at_10=0.3, main_score=0.3),
                per_query={f"q{n}": 0.3 for n in range(25)},
            )
    found, _ = assessed(tmp_path, resamples=100)
    p = [one.share.p for one in found.assessments.values() if one.share is not None]
    assert len(p) == 6
    assert max(p) < 0.05


def test_p_values_of_a_model_s_configuration_are_one_family(tmp_path):
    """Two tasks of seven queries, all worse: p is 2/128 each, and Holm doubles the smaller."""
    ones, halves = [1.0] * 7, [0.5, 0.6, 0.4, 0.55, 0.45, 0.35, 0.65]
    for task in "TU":
        result(tmp_path, DENSE, task, ones)
        result(tmp_path, SPARSE, task, halves)
    found, number = assessed(tmp_path)
    for spot in found.places:
        p = found.assessments[number["org/model", "sparse"], spot].share.p
        assert p == pytest.approx(2 * 2 / 128, abs=0.01)


def test_other_models_are_other_systems_with_dense_of_their_own(tmp_path):
    for model, factor in (("org/model", 0.5), ("org/other", 0.9)):
        result(tmp_path, DENSE, "T", [0.4, 0.8], model=model)
        result(tmp_path, SPARSE, "T", [factor * 0.4, factor * 0.8], model=model)
    found, number = assessed(tmp_path)
    shares = {
        model: found.assessments[number[model, "sparse"], found.places[0]].share.value
        for model in ("org/model", "org/other")
    }
    assert shares == {"org/model": pytest.approx(0.5), "org/other": pytest.approx(0.9)}


def test_results_on_other_queries_are_not_paired(tmp_path):
    result(tmp_path, DENSE, "T", [0.4, 0.8])
    write(
        tmp_path,
        mode=SPARSE,
        name="sparse",
        scores=place(ndcg_at_10=0.3, main_score=0.3),
        per_query={"q0": 0.2, "another": 0.4},
    )
    found, number = assessed(tmp_path)
    sparse = found.assessments[number["org/model", "sparse"], found.places[0]]
    assert (sparse.low, sparse.high) == (pytest.approx(0.2), pytest.approx(0.4))
    assert (sparse.share.value, sparse.share.low, sparse.share.p) == (
        pytest.approx(0.5),
        None,
        None,
    )


def test_a_system_is_one_whatever_a_task_adds_to_its_settings(tmp_path):
    """Instructions and the data of a folder differ by task; the template does not."""
    config = (
        "instruction:\n  kind: template\n  query: '{instruction} {text}'\n  document: '{text}'\n"
    )
    for task, instruction in (("T", "Find one: "), ("U", "Find two: ")):
        path = write(tmp_path, task=task, revision=task, config=config)
        file = path.with_suffix("") / "experiment.json"
        changed = file.read_text().replace('["", ""]', f'["{instruction}", ""]')
        file.write_text(changed.replace('"version": 1', f'"version": 1, "data": "{task}"'))
    (system,) = systems_of(collect(tmp_path).entries)
    assert len(system.entries) == 2
    assert system.facets == {
        **{"model": "org/model", "mode": "dense", "pooling": "mean", "head": "–"},
        **{"template": "{instruction} {text} | {text}", "dtype": "float32"},
    }


def test_systems_that_differ_in_a_setting_are_two(tmp_path):
    write(tmp_path, mode=SPARSE, name="a", experiment_mode="sparse")
    write(tmp_path, mode={**SPARSE, "doc_top_k": 9}, name="b", experiment_mode="sparse")
    names = [system.name for system in systems_of(collect(tmp_path).entries)]
    assert len(set(names)) == 2
    assert all(name.startswith("model-sparse-") for name in names)
