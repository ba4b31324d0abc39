"""How many jobs a sweep has, from Hydra's configuration."""

import pytest
from hydra import compose, initialize_config_dir

from harness.cli import config_folder
from harness.sweep.size import is_search, number_of_jobs, swept_settings


@pytest.fixture
def hydra_of():
    """Hydra's own configuration of `harness run -m` with these overrides."""

    def compose_hydra(*own, task=()):
        hydra = compose("run", list(own), return_hydra_config=True).hydra
        hydra.overrides.task = list(task)
        return hydra

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield compose_hydra


@pytest.mark.parametrize(
    ("task", "jobs", "swept"),
    [
        ([], 1, []),
        (["a=1", "b=[x,y]"], 1, []),
        (["a=1,2", "b=x", "c.d=range(0,5)"], 10, ["a", "c.d"]),
        (["head=ridge,tied", "tasks.names=[A],[B,C],[]"], 6, ["head", "tasks.names"]),
        (["a=1,2", "a=1,2,3"], 3, ["a"]),
        (["head=glob(*i*)", "pooling=glob(mean*)"], 6, ["head", "pooling"]),
    ],
)
def test_combinations(hydra_of, task, jobs, swept):
    hydra = hydra_of(task=task)
    assert not is_search(hydra.sweeper)
    assert number_of_jobs(hydra) == jobs
    assert swept_settings(hydra) == swept


def test_settings_of_the_sweeper_count_too(hydra_of):
    hydra = hydra_of(task=["b=5,6,7"])
    hydra.sweeper.params = {"a": "1,2", "b": "3,4"}
    assert number_of_jobs(hydra) == 6
    assert swept_settings(hydra) == ["a", "b"]


def test_a_search_has_trials(hydra_of):
    hydra = hydra_of("hydra/sweeper=tradeoff", task=["a=interval(0,1)", "b=2"])
    assert is_search(hydra.sweeper)
    assert number_of_jobs(hydra) == 24
    assert swept_settings(hydra) == ["a"]
    assert list(hydra.sweeper.direction) == ["maximize", "minimize"]
