"""Names, benchmarks and groups as task objects, each of its own."""

import copy
from types import SimpleNamespace

import mteb
import pytest
from hydra import compose, initialize_config_dir

from harness.cli import config_folder
from harness.config import TasksConfig, parse
from harness.errors import BadInputError
from harness.evaluation.tasks.resolve import resolve_tasks
from harness.evaluation.tasks.sizes import task_size


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    """Where the embedded task is built once."""
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture
def resolve(cache_dir):
    return lambda **settings: resolve_tasks(TasksConfig(**settings), cache_dir=cache_dir)


@pytest.fixture
def composed(cache_dir):
    """The tasks of `harness run` with these overrides."""

    def resolved(*overrides):
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = compose("run", overrides=list(overrides))
        return resolve_tasks(parse(TasksConfig, config.tasks, where="tasks"), cache_dir=cache_dir)

    return resolved


def names(tasks):
    return [task.metadata.name for task in tasks]


# Documents and queries of the evaluated split, from BEIR's Table 1.
BEIR = {
    "TRECCOVID": (171_332, 50),
    "NFCorpus": (3_633, 323),
    "NQ": (2_681_468, 3_452),
    "HotpotQA": (5_233_329, 7_405),
    "FiQA2018": (57_638, 648),
    "ArguAna": (8_674, 1_406),
    "Touche2020": (382_545, 49),
    "CQADupstackRetrieval": (457_199, 13_145),
    "QuoraRetrieval": (522_931, 10_000),
    "DBPedia": (4_635_922, 400),
    "SCIDOCS": (25_657, 1_000),
    "FEVER": (5_416_568, 6_666),
    "ClimateFEVER": (5_416_593, 1_535),
    "SciFact": (5_183, 300),
    "MSMARCO": (8_841_823, 6_980),
}

LLM2VEC = {
    "SciFact": "Retrieval",
    "ArguAna": "Retrieval",
    "NFCorpus": "Retrieval",
    "StackOverflowDupQuestions": "Reranking",
    "SciDocsRR": "Reranking",
    "BiorxivClusteringS2S": "Clustering",
    "MedrxivClusteringS2S": "Clustering",
    "TwentyNewsgroupsClustering": "Clustering",
    "SprintDuplicateQuestions": "PairClassification",
    "Banking77Classification": "Classification",
    "EmotionClassification": "Classification",
    "MassiveIntentClassification": "Classification",
    "STS17": "STS",
    "SICK-R": "STS",
    "STSBenchmark": "STS",
}


class TestGroups:
    def test_beir(self, composed):
        tasks = composed("tasks=beir")
        sizes = {task.metadata.name: task_size(task) for task in tasks}
        found = {name: (size.documents, size.queries) for name, size in sizes.items()}
        assert list(found.items()) == list(BEIR.items())
        assert [list(task.eval_splits) for task in tasks] == [["test"]] * 14 + [["dev"]]

    def test_llm2vec15(self, composed):
        tasks = composed("tasks=llm2vec15")
        assert {task.metadata.name: task.metadata.type for task in tasks} == LLM2VEC
        assert names(tasks) == list(LLM2VEC)
        restricted = {"MassiveIntentClassification": ["en"], "STS17": ["en-en"]}
        for task in tasks:
            assert list(task.eval_splits) == ["test"]
            assert task.hf_subsets == restricted.get(task.metadata.name, ["default"])

    def test_llm2vec15_is_part_of_the_first_english_benchmark(self, composed):
        whole = {task.metadata.name: task for task in composed("tasks=mteb_eng_v1")}
        for task in composed("tasks=llm2vec15"):
            same = whole[task.metadata.name]
            assert (type(task), task.hf_subsets) == (type(same), same.hf_subsets)
            assert task_size(task) == task_size(same)

    @pytest.mark.parametrize(
        ("group", "published", "count"),
        [
            ("nanobeir", "NanoBEIR", 13),
            ("mteb_eng_v1", "MTEB(eng, v1)", 56),
            ("mteb_eng_v2", "MTEB(eng, v2)", 41),
        ],
    )
    def test_benchmarks(self, composed, group, published, count):
        tasks = composed(f"tasks={group}")
        assert len(tasks) == count

        def places(task):
            return (task.metadata.name, list(task.hf_subsets), list(task.eval_splits))

        assert [*map(places, tasks)] == [*map(places, mteb.get_benchmark(published).tasks)]

    def test_paper4(self, composed):
        assert names(composed("tasks=paper4")) == ["FiQA2018", "NFCorpus", "SciFact", "ArguAna"]

    def test_mteb(self, composed, capsys):
        tasks = composed("tasks=mteb")
        texts = mteb.get_tasks(modalities=["text"], exclusive_modality_filter=True)
        known = [name for name in names(texts) if name in set(names(tasks))]
        assert names(tasks) == known
        others = [task for task in texts if task.metadata.name not in set(known)]
        assert all(task.metadata.type == "Any2AnyRetrieval" for task in others)
        left_out = len(mteb.get_tasks()) - len(tasks)
        (line,) = capsys.readouterr().err.splitlines()
        assert f"tasks.all: {left_out} of" in line
        assert line.endswith("left out; only text tasks are scored")

    def test_a_filter_on_top_of_a_group(self, composed):
        tasks = composed("tasks=llm2vec15", "tasks.types=[sts]", "tasks.exclude=[SICK-R]")
        assert names(tasks) == ["STS17", "STSBenchmark"]


class TestNames:
    def test_nothing_named_is_the_embedded_task(self, resolve):
        assert names(resolve()) == ["PyDocRetrieval"]

    def test_mteb_tasks_by_name_load_nothing(self, resolve):
        tasks = resolve(names=["SciFact", "STSBenchmark"])
        assert names(tasks) == ["SciFact", "STSBenchmark"]
        assert not any(task.data_loaded for task in tasks)

    def test_names_come_before_the_benchmark(self, resolve):
        tasks = resolve(names=["SICK-R", "PyDocRetrieval"], benchmark="NanoBEIR")
        assert names(tasks)[:3] == ["SICK-R", "PyDocRetrieval", "NanoArguAnaRetrieval"]
        assert len(tasks) == 15

    @pytest.mark.parametrize(
        "name",
        [
            "SciFact",
            "AskUbuntuDupQuestions",
            "IFIRAila",
            "Core17InstructionRetrieval",
            "STSBenchmark",
            "SprintDuplicateQuestions",
            "Banking77Classification",
            "KorHateSpeechMLClassification",
            "RuSciBenchYearPublRegression",
            "TwentyNewsgroupsClustering",
            "Tatoeba",
            "SummEval",
            "CQADupstackRetrieval",
        ],
    )
    def test_every_type_of_text_task(self, resolve, name):
        (task,) = resolve(names=[name])
        assert isinstance(task, type(mteb.get_task(name)))

    @pytest.mark.parametrize(
        ("entry", "subsets"),
        [
            ("STS17/en-en", ["en-en"]),
            ("STS17/es-es,en-en", ["es-es", "en-en"]),
            ("STS17/ en-en , en-en", ["en-en"]),
            ("SciFact/default", ["default"]),
            ("PyDocRetrieval/default", ["default"]),
        ],
    )
    def test_subsets(self, resolve, entry, subsets):
        (task,) = resolve(names=[entry])
        assert set(task.hf_subsets) == set(subsets)
        if entry.startswith("STS17"):
            assert task.hf_subsets == mteb.get_task("STS17", hf_subsets=subsets).hf_subsets

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"names": ["SciFcat"]},
                "tasks.names: 'SciFcat' is no task of mteb (did you mean SciFa",
            ),
            ({"names": ["qqqqqqqqqqqqqqq"]}, "lists them"),
            ({"names": [""]}, "'' is no task of mteb"),
            ({"names": ["SciFcat/default"]}, "'SciFcat' is no task"),
            ({"names": ["STS17/en"]}, "tasks.names: STS17 has no subset 'en'; choose from: en-"),
            ({"names": ["STS17/en-en,xx"]}, "STS17 has no subset 'xx'"),
            ({"names": ["STS17/"]}, "STS17 has no subset ''; choose from: ko-ko, "),
            ({"names": ["SciFact/en"]}, "SciFact has no subset 'en'; choose from: default"),
            ({"names": ["PyDocRetrieval/en"]}, "PyDocRetrieval has no subset 'en'"),
            ({"names": ["FloresBitextMining/eng-fra"]}, "in all)"),
            ({"names": ["CIFAR10"]}, "tasks.names: CIFAR10 is of image; only texts are embedded"),
            ({"names": ["VisualSTS17Eng"]}, "VisualSTS17Eng is of image"),
            ({"benchmark": "BEIRR"}, "tasks.benchmark='BEIRR' is no benchmark of mteb (did you"),
            (
                {"benchmark": "MIEB(Img)"},
                "tasks.benchmark='MIEB(Img)' holds no text task, and",
            ),
            ({"names": ["SciFact", "SciFact"]}, "two tasks are called 'SciFact'; name it once"),
            ({"names": ["STS17/en-en", "STS17/es-es"]}, "subsets together as 'STS17/a,b'"),
            ({"names": ["SciFact"], "benchmark": "BEIR"}, "two tasks are called 'SciFact'"),
            ({"path": "/nowhere/at/all"}, "/nowhere/at/all"),
        ],
    )
    def test_bad_names(self, resolve, settings, message):
        with pytest.raises(BadInputError) as caught:
            resolve(**settings)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_text_task_of_another_type(self, resolve, refusal):
        name = next(
            task.metadata.name
            for task in mteb.get_tasks(task_types=["Any2AnyRetrieval"])
            if task.metadata.modalities == ["text"]
        )
        message = refusal(lambda: resolve(names=[name]))
        assert f"{name} is of type Any2AnyRetrieval; types that are scored: Retrieval, " in message

    def test_folders(self, resolve, toy_folder, refusal):
        tasks = resolve(path=str(toy_folder), names=["SciFact"])
        assert names(tasks) == ["toy", "SciFact"]
        twin = toy_folder.parent / "other" / "toy"
        twin.parent.mkdir()
        twin.symlink_to(toy_folder)
        message = refusal(lambda: resolve(path=[str(toy_folder), str(twin)]))
        assert message == (
            "two tasks are called 'toy'; a folder's name is its task's name, so rename one"
        )
        hidden = toy_folder.rename(toy_folder.parent / "model_meta")
        assert "would hide mteb's file" in refusal(lambda: resolve(path=str(hidden)))

    def test_what_a_benchmark_holds_beside_texts_is_said(self, resolve, capsys, monkeypatch):
        mixed = SimpleNamespace(tasks=mteb.get_tasks(tasks=["CIFAR10", "SciFact", "CIFAR100"]))
        monkeypatch.setattr(mteb, "get_benchmark", lambda name: mixed)
        assert names(resolve(benchmark="mixed")) == ["SciFact"]
        assert capsys.readouterr().err == (
            "tasks.benchmark='mixed': 2 of 3 tasks left out; only text tasks are scored\n"
        )


class TestObjectsOfTheirOwn:
    def test_a_benchmarks_tasks_draw_the_same_each_time(self, resolve):
        first, second = (resolve(benchmark="MTEB(eng, v1)") for _ in range(2))
        expected = [copy.deepcopy(task.rng_state).random() for task in second]
        for task in first:
            task.rng_state.random()
            task.np_rng.random()
        assert [task.rng_state.random() for task in second] == expected
        third = resolve(benchmark="MTEB(eng, v1)")
        assert [task.rng_state.random() for task in third] == expected
        offered = mteb.get_benchmark("MTEB(eng, v1)").tasks
        assert not {id(task) for task in first} & {id(task) for task in [*second, *offered]}

    @pytest.mark.parametrize(
        "settings", [{"names": ["CQADupstackRetrieval"]}, {"benchmark": "BEIR"}]
    )
    def test_parts_of_an_aggregate(self, resolve, settings):
        (first,), (second,) = (
            [t for t in resolve(**settings) if t.metadata.name == "CQADupstackRetrieval"]
            for _ in range(2)
        )
        offered = type(first)
        parts = [*first.tasks, *second.tasks, *offered.metadata.tasks]
        assert len({id(part) for part in parts}) == 36
        assert first.metadata.tasks is first.tasks
        assert first.taskname_to_task == {part.metadata.name: part for part in first.tasks}
        assert names(first.tasks) == names(offered.metadata.tasks)
        assert first.metadata.name == offered.metadata.name

    def test_filters_leave_a_benchmark_as_it_is(self, resolve):
        before = [
            list(task.hf_subsets) for task in mteb.get_benchmark("MTEB(Multilingual, v2)").tasks
        ]
        resolve(benchmark="MTEB(Multilingual, v2)", languages=["dan"])
        after = [
            list(task.hf_subsets) for task in mteb.get_benchmark("MTEB(Multilingual, v2)").tasks
        ]
        assert before == after
