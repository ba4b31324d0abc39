import pytest

from harness.config import TasksConfig
from harness.errors import BadInputError
from harness.evaluation.tasks.resolve import resolve_tasks


@pytest.fixture
def resolve(tmp_path):
    return lambda **settings: resolve_tasks(TasksConfig(**settings), cache_dir=tmp_path)


def names(tasks):
    return [task.metadata.name for task in tasks]


def test_nothing_named_is_the_embedded_task(resolve):
    assert names(resolve()) == ["PyDocRetrieval"]


def test_mteb_tasks_by_name_load_nothing(resolve):
    tasks = resolve(names=["SciFact", "NFCorpus"])
    assert names(tasks) == ["SciFact", "NFCorpus"]
    assert not any(task.data_loaded for task in tasks)


def test_benchmark_of_retrieval_tasks(resolve):
    assert len(resolve(benchmark="NanoBEIR")) == 13


def test_embedded_task_beside_others(resolve):
    assert names(resolve(names=["PyDocRetrieval", "SciFact"])) == ["PyDocRetrieval", "SciFact"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ["SciFcat"]}, "did you mean SciFact"),
        ({"names": ["qqqqqqqqqqqqqqq"]}, "lists them"),
        ({"benchmark": "BEIRR"}, "did you mean BEIR"),
        ({"names": ["STSBenchmark"]}, "of type STS"),
        ({"names": ["SciFact", "SciFact"]}, "two tasks are called 'SciFact'"),
        ({"path": "/nowhere/at/all"}, "/nowhere/at/all"),
    ],
)
def test_bad_names(resolve, settings, message):
    with pytest.raises(BadInputError) as caught:
        resolve(**settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
