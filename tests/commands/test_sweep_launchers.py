"""Sweeps whose jobs other processes run, and sweeps that Optuna steers."""

import contextlib
import json
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from tests.commands.sweeping import B7, NO_DATA, last_lines, needs, objects, sweep_folder

SEARCH = ("hydra/sweeper=tradeoff", "hydra.sweeper.n_trials=4")
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


@needs("hydra_optuna_sweeper")
def test_a_search_is_given_quality_and_scoring_flops(sweep, tiny_bert, tmp_path):
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    status, lines = sweep(
        *(*SEARCH, *tiny, "retrieval=[dense,aligned_sparse]", "sweep.mode=aligned_sparse"),
        "retrieval.aligned_sparse.doc_top_k=int(interval(1,64))",
    )
    assert status == 0, lines
    found = pd.read_csv(sweep_folder(tmp_path) / "summary.csv")
    own = found[found["mode"] == "aligned_sparse"]
    points = set(zip(own["value"], own["scoring_flops_per_query"], strict=True))
    better = {
        (value, flops)
        for value, flops in points
        if not any(v >= value and f <= flops and (v, f) != (value, flops) for v, f in points)
    }
    solutions = yaml.safe_load((sweep_folder(tmp_path) / "optimization_results.yaml").read_text())
    assert {tuple(one["values"]) for one in solutions["solutions"]} == better
    assert [line for line in lines if "4 of 4 jobs done" in line]
    assert own["job"].tolist() == [0, 1, 2, 3]


@needs("hydra_optuna_sweeper")
def test_a_trial_that_fails_does_not_stop_the_search(sweep):
    status, lines = sweep(*SEARCH, "retrieval.bm25.b=choice(7)", "retrieval.bm25.k1=interval(1,2)")
    assert status == 2
    start = lines.index("harness: the sweep left 4 unfinished:")
    assert all(line.endswith(f": {B7}") for line in lines[start + 1 :])
    assert not any("Failed experiment" in line for line in lines)


@needs("hydra_optuna_sweeper")
def test_a_search_must_know_the_mode(sweep, tmp_path):
    status, lines = sweep(*SEARCH, "retrieval=[dense,bm25]", "retrieval.bm25.k1=interval(1,2)")
    assert status == 2
    start = lines.index("harness: the sweep left 4 unfinished:")
    assert all("a search needs one mode to go by" in line for line in lines[start + 1 :])
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@needs("hydra_joblib_launcher")
def test_jobs_in_other_processes_encode_once(apart, tiny_bert, tmp_path, temporary):
    """One of the four jobs fails; the others share what one of them has encoded."""
    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    status, out, lines = apart(
        *(*JOBLIB, *tiny, "retrieval=[aligned_sparse]", "format=json"),
        "retrieval.aligned_sparse.doc_top_k=8,16,32,-1",
    )
    assert status == 2
    title, (line,) = last_lines(lines)
    assert title == "harness: the sweep left 1 unfinished:"
    assert "retrieval.aligned_sparse.doc_top_k=-1: retrieval.aligned_sparse.doc_top_k=" in line
    runs = [json.loads(path.read_text()) for path in (tmp_path / "results" / "runs").iterdir()]
    assert sorted(run["texts_encoded"] for run in runs) == [0, 0, 6]
    assert len(objects(out)) == 3
    assert sum(line.startswith("sweep: doc_top_k=") for line in lines) == 4
    assert not list(temporary.glob("harness*"))


@needs("hydra_joblib_launcher")
@pytest.mark.slow
def test_an_unfinished_task_of_another_process_is_named_at_the_end(apart):
    status, _, lines = apart(*JOBLIB, "tasks.names=[],[SCIDOCS]")
    assert status == 1
    assert last_lines(lines)[1] == [f"tasks.names=[SCIDOCS]: {NO_DATA}"]


@needs("hydra_submitit_launcher")
def test_jobs_that_are_submitted_are_seen_by_their_records(apart, tmp_path):
    status, out, lines = apart("hydra/launcher=submitit_local", "retrieval.bm25.b=7,0.5")
    assert status == 2
    assert last_lines(lines)[1] == [f"retrieval.bm25.b=7: {B7}"]
    ends = [line.partition(" in ")[0] for line in lines if line.startswith("sweep: b=")]
    assert ends == ["sweep: b=7: failed", "sweep: b=0.5: done"]
    assert "1   b=0.5            0.9033" in out
    assert (sweep_folder(tmp_path) / "summary.svg").exists()


@needs("hydra_submitit_launcher")
def test_slurm_settings_compose():
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder

    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
        hydra = compose("run", own, return_hydra_config=True).hydra
    assert hydra.launcher._target_.endswith(".SlurmLauncher")
    assert (hydra.launcher.partition, hydra.launcher.gpus_per_node) == ("gpu", 1)


@needs("hydra_ray_launcher")
@pytest.mark.slow
def test_jobs_on_a_ray_cluster_that_runs_already_encode_once(apart, tiny_bert, tmp_path):
    """Its processes were started elsewhere, with an object store of their own."""
    from ray.cluster_utils import Cluster

    tiny = ("model=local", f"model.path={tiny_bert}", "pooling=mean", "head=ridge")
    (tmp_path / "cluster").mkdir()
    with contextlib.chdir(tmp_path / "cluster"):
        head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 100 << 20}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            status, out, lines = apart(
                *("hydra/launcher=ray", f"hydra.launcher.ray.init.address={cluster.address}"),
                *(*tiny, "retrieval=[aligned_sparse]", "results_dir=found", "store_dir=vectors"),
                "retrieval.aligned_sparse.doc_top_k=8,16,-1",
            )
        finally:
            cluster.shutdown()
    assert status == 2, lines
    (line,) = [line for line in lines if line.startswith("  tasks=folder ")]
    assert "doc_top_k=-1: retrieval.aligned_sparse.doc_top_k=" in line
    runs = [json.loads(path.read_text()) for path in (tmp_path / "found" / "runs").iterdir()]
    assert sorted(run["texts_encoded"] for run in runs) == [0, 6]
    assert (tmp_path / "vectors" / "embeddings").is_dir()
    assert not list((tmp_path / "cluster").iterdir())
    assert sum(line.startswith("sweep: doc_top_k=") for line in lines) == 3
    found = pd.read_csv(sweep_folder(tmp_path) / "summary.csv")
    assert found["settings"].tolist() == ["doc_top_k=8", "doc_top_k=16", "doc_top_k=-1"]
    assert all(f" {name} " in out for name in found["settings"][:2])
    assert not any("validated against" in line for line in lines)


@needs("hydra_ray_launcher")
@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/ray' is validated")
def test_ray_settings_compose(monkeypatch):
    from hydra import compose, initialize_config_dir

    from harness.cli import config_folder

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        own = ["hydra/launcher=ray", "hydra.launcher.ray.remote.num_gpus=1"]
        ray = compose("run", own, return_hydra_config=True).hydra.launcher.ray
    assert (ray.remote.num_cpus, ray.remote.num_gpus) == (1, 1)
    assert ray.init.address == "local"  # not whichever runs on this machine
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert ray.init.address == "head:6379"
    assert ray.init.object_store_memory is None  # a running cluster refuses any other


def test_a_launcher_whose_package_is_missing_says_which(tmp_path):
    program = (
        "import sys; sys.modules['hydra_plugins.hydra_ray_launcher'] = None; "
        "from harness.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "-m", "hydra/launcher=ray", "retrieval=[bm25]"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("harness: ")]
    assert line.endswith("pip install 'harness[ray]'")
    assert not list(tmp_path.glob("results"))
