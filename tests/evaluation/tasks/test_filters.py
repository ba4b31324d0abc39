"""What each filter leaves out, what is said of it, and what is refused."""

from contextlib import suppress

import mteb
import pytest

from harness.config import TasksConfig
from harness.evaluation.tasks.filters import filter_tasks

LLM2VEC = ["SciFact", "STS17", "Banking77Classification", "Tatoeba", "LexRetrieval.v1"]


def tasks_of(*names):
    return [mteb.get_task(name) for name in names]


def filtered(tasks, **settings):
    return [task.metadata.name for task in filter_tasks(tasks, TasksConfig(**settings))]


def said(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_no_filter_keeps_all_and_says_nothing(capsys):
    assert filtered(tasks_of(*LLM2VEC)) == LLM2VEC
    assert said(capsys) == []


def test_a_filter_that_leaves_out_nothing_says_nothing(capsys):
    assert filtered(tasks_of("SciFact"), types=["Retrieval"], languages=["eng"]) == ["SciFact"]
    assert said(capsys) == []


def test_types(capsys):
    assert filtered(tasks_of(*LLM2VEC), types=["sts", "Retrieval"]) == [
        "SciFact",
        "STS17",
        "LexRetrieval.v1",
    ]
    assert said(capsys) == ["left out: 2 tasks by tasks.types; 3 of 5 tasks kept"]


def test_exclude(capsys):
    assert filtered(tasks_of("SciFact", "STS17"), exclude=["SciFact"]) == ["STS17"]
    assert said(capsys) == ["left out: 1 task by tasks.exclude; 1 of 2 tasks kept"]


class TestLanguages:
    @pytest.mark.parametrize(
        ("languages", "subsets"),
        [
            (["eng"], ["en-en"]),
            (["eng-Latn"], ["en-en"]),
            (["ENG-latn"], ["en-en"]),
            (["eng", "deu"], ["en-de", "en-en"]),
            (["spa", "eng"], ["en-en", "es-en", "es-es"]),
            (["kor-Hang"], ["ko-ko"]),
        ],
    )
    def test_subsets_that_are_wholly_in_them(self, languages, subsets):
        (task,) = filter_tasks(tasks_of("STS17"), TasksConfig(languages=languages))
        assert task.hf_subsets == [s for s in task.metadata.hf_subsets if s in subsets]
        assert len(task.hf_subsets) == len(subsets)

    def test_a_script_tells_subsets_apart(self):
        def subsets(code):
            (task,) = filter_tasks(tasks_of("MKQARetrieval"), TasksConfig(languages=[code]))
            return task.hf_subsets

        assert subsets("zho") == ["zh_cn", "zh_hk", "zh_tw"]
        assert subsets("zho-Hant") == ["zh_hk", "zh_tw"]

    @pytest.mark.parametrize("languages", [["eng"], ["deu", "fra"]])
    def test_subsets_are_those_of_mtebs_exclusive_filter(self, languages):
        texts = mteb.get_tasks(modalities=["text"], exclusive_modality_filter=True)
        tasks = [task for task in texts if task.metadata.is_multilingual]
        expected = {}
        for task in map(type, tasks):
            with suppress(ValueError):  # no subset is left
                kept = task().filter_languages(languages, exclusive_language_filter=True)
                expected[kept.metadata.name] = kept.hf_subsets
        found = filter_tasks(tasks, TasksConfig(languages=languages))
        assert len(expected) > 50
        assert {task.metadata.name: task.hf_subsets for task in found} == expected

    def test_counts(self, capsys):
        tasks = tasks_of("SciFact", "STS17", "GermanQuAD-Retrieval", "Tatoeba")
        assert filtered(tasks, languages=["eng"]) == ["SciFact", "STS17"]
        assert said(capsys) == [
            "left out: 2 tasks and 10 subsets by tasks.languages; 2 of 4 tasks kept"
        ]

    def test_a_task_without_subsets_stays_if_it_has_one_of_them(self):
        assert filtered(tasks_of("CosQA"), languages=["eng"]) == ["CosQA"]
        assert filtered(tasks_of("CosQA"), languages=["Python-code"]) == ["CosQA"]

    def test_earlier_restrictions_hold(self):
        task = mteb.get_task("STS17", hf_subsets=["es-es", "en-de"])
        (kept,) = filter_tasks([task], TasksConfig(languages=["spa", "eng"]))
        assert kept.hf_subsets == ["es-es"]

    @pytest.mark.parametrize(
        ("code", "hint"),
        [
            ("en", "did you mean"),
            ("English", "(did you mean eng?)"),
            ("eng-Latin", "did you mean eng"),
            ("eng-", "such as eng-Latn"),
            ("Latn", "ISO 639-3"),
            ("", "ISO 639-3"),
        ],
    )
    def test_unknown(self, code, hint, refusal):
        message = refusal(lambda: filtered(tasks_of("SciFact"), languages=[code]))
        assert message.startswith(f"tasks.languages: {code!r} is no language")
        assert hint in message


class TestSplits:
    def test_a_task_keeps_those_it_has(self, capsys):
        tasks = tasks_of("MassiveIntentClassification", "SciFact", "MSMARCO")
        kept = filter_tasks(tasks, TasksConfig(eval_splits=["test", "train"]))
        assert [(task.metadata.name, list(task.eval_splits)) for task in kept] == [
            ("MassiveIntentClassification", ["test"]),
            ("SciFact", ["test"]),
        ]
        assert said(capsys) == [
            "left out: 1 task and 1 split by tasks.eval_splits; 2 of 3 tasks kept"
        ]


class TestSizes:
    @pytest.mark.parametrize(
        ("settings", "kept"),
        [
            ({"max_documents": 5_183}, ["SciFact", "BIOSSES"]),
            ({"max_documents": 5_182}, ["BIOSSES"]),
            ({"max_documents": 3_000_000}, ["SciFact", "NQ", "BIOSSES"]),
            ({"max_characters": 7_798_555}, ["SciFact", "BIOSSES"]),
            ({"max_characters": 7_798_554}, ["BIOSSES"]),
        ],
    )
    def test_limits(self, settings, kept):
        tasks = tasks_of("SciFact", "NQ", "BIOSSES")
        assert filtered(tasks, **settings) == kept

    def test_a_task_of_unknown_size_is_kept_and_named(self, capsys):
        names = ["LexRetrieval.v1", "NQ", "InjongoIntent"]
        assert filtered(tasks_of(*names), max_documents=10) == ["LexRetrieval.v1", "InjongoIntent"]
        assert said(capsys) == [
            "left out: 1 task by tasks.max_documents; 2 of 3 tasks kept",
            "kept, because their size is unknown: LexRetrieval.v1, InjongoIntent",
        ]

    def test_many_of_unknown_size_are_counted(self, capsys):
        tasks = tasks_of(*["LexRetrieval.v1"] * 7)
        assert len(filtered(tasks, max_characters=1)) == 7
        (line,) = said(capsys)
        assert line.count("LexRetrieval.v1") == 5
        assert line.endswith(" and 2 more")

    def test_size_is_of_the_subsets_that_are_left(self):
        def kept(**settings):
            return filtered(tasks_of("STS17", "SciFact"), max_documents=500, **settings)

        assert kept(languages=["eng"]) == ["STS17"]


def test_several_filters_are_said_in_one_line(capsys):
    names = ["SciFact", "NQ", "STS17", "Tatoeba", "SummEval", "GermanQuAD-Retrieval"]
    kept = filtered(
        tasks_of(*names),
        exclude=["SummEval"],
        types=["Retrieval", "STS"],
        languages=["eng"],
        max_documents=10_000,
    )
    assert kept == ["SciFact", "STS17"]
    assert said(capsys) == [
        "left out: 1 task by tasks.exclude, 1 task by tasks.types, "
        "1 task and 10 subsets by tasks.languages, 1 task by tasks.max_documents; "
        "2 of 6 tasks kept"
    ]


class TestRefusals:
    def test_nothing_left(self, refusal):
        def message(**given):
            return refusal(lambda: filtered(tasks_of("SciFact", "STS17"), **given))

        assert message(types=["Clustering"]) == (
            "nothing of 2 tasks is left by tasks.types; change or unset them"
        )
        assert message(types=["STS"], languages=["dan"]) == (
            "nothing of 2 tasks is left by tasks.types and tasks.languages; change or unset them"
        )
        assert "left by tasks.eval_splits;" in message(eval_splits=["tset"])
        assert "left by tasks.max_documents;" in message(max_documents=1)
        assert "left by tasks.max_characters;" in message(max_characters=1)
        assert "left by tasks.exclude;" in message(exclude=["SciFact", "STS17"])

    @pytest.mark.parametrize(
        ("name", "remedy"), [("SciFcat", "did you mean SciFact?"), ("qqq", "take it out")]
    )
    def test_excluding_what_is_not_there(self, name, remedy, refusal):
        message = refusal(lambda: filtered(tasks_of("SciFact", "STS17"), exclude=[name]))
        assert message == f"tasks.exclude: {name!r} is none of the tasks; {remedy}"
