"""The process that a sweep was started in."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from harness.sweep.conduct import Watch, conducted, is_conducted, job_ended, plan_arguments
from harness.sweep.record import JobRecord


def hydra(folder, **launcher):
    return OmegaConf.create(
        {
            "sweep": {"dir": str(folder)},
            "sweeper": {"_target_": "hydra.BasicSweeper", "params": None},
            "launcher": launcher,
            "overrides": {"task": ["a=1,2"]},
        }
    )


def test_hydra_tells_where_the_jobs_are(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    JobRecord(number=7, overrides=[], status="done").write(tmp_path / "sweep" / "7")
    Watch().on_multirun_start(OmegaConf.create({"hydra": hydra("sweep")}))  # no sweep of ours
    assert (tmp_path / "sweep" / "7" / "job.json").exists()
    with conducted() as sweep:
        assert is_conducted()
        assert sweep.jobs == []
        Watch().on_multirun_start(OmegaConf.create({"hydra": hydra("sweep")}))
        assert (sweep.folder, sweep.jobs) == (tmp_path / "sweep", [])  # 7 was an earlier sweep's
        JobRecord(number=0, overrides=["a=1"], status="done").write(tmp_path / "sweep" / "0")
        job_ended()
        assert [job.number for job in sweep.jobs] == [0]
    assert not is_conducted()
    job_ended()
    assert capfd.readouterr().err.splitlines() == [
        "sweep: a=1: done in 0.0 s; 1 of 2 jobs done, 0 running"
    ]


def test_a_plan_is_made_without_a_word(tmp_path, capfd):
    with conducted(shown=False) as sweep:
        sweep.begin(hydra(tmp_path))
        JobRecord(number=0, overrides=["a=1"], status="done").write(tmp_path / "0")
        job_ended()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["-m", "a=1,2"], ["-m", "a=1,2"]),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "a=1"], ["-m", "a=1"]),
        (["-m", "+hydra.launcher.x=2", "hydra.sweep.dir=here"], ["-m"]),
        (["-m", "hydra.sweeper.params.a=1"], ["-m", "hydra.sweeper.params.a=1"]),
    ],
)
def test_a_plan_is_made_here_and_leaves_nothing(given, kept):
    with plan_arguments(given) as (*arguments, where):
        assert arguments == kept
        name, _, folder = where.partition("=")
        assert name == "hydra.sweep.dir"
        assert Path(folder.strip("'")).is_dir()
        (Path(folder.strip("'")) / "0").mkdir()
    assert not Path(folder.strip("'")).exists()
