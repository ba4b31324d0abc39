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
