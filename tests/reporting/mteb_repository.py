"""Results of mteb's tasks as `harness run` writes them, and what the official repository asks for.

The repository (embeddings-benchmark/results) checks submissions with tests of its own; `faults`
asks for the same.
"""

import json
from pathlib import Path

import mteb
from hydra import compose, initialize_config_dir
from mteb.results import TaskResult
from mteb.results.task_result import _expand_run_settings_entry
from omegaconf import OmegaConf

from harness.cli import config_folder
from harness.config import RunConfig, parse
from harness.evaluation.evaluators import Evaluated
from harness.evaluation.experiment import Experiment, settings_hash
from harness.evaluation.results import result_path, write_result
from harness.reporting.mteb_settings import settings_of

BGE = "BAAI/bge-small-en-v1.5"
COMMIT = "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a"  # what mteb implements of it
SCIDOCS = "f8c2fcf00f625baaa80f62ec5bd9e1fff3b8ae88"
DENSE = {"kind": "dense", "similarity": "cosine"}
SPARSE = {"kind": "aligned_sparse", "doc_top_k": 256}
SOFTWARE = {"harness": "0.1.0", "mteb": "2.26.24", "torch": "2.9.1", "transformers": "5.0.0"}


def composed(*overrides):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("run", overrides=list(overrides))


def shipped(*options):
    """From a model's name to the settings of the configurations that are named."""
    own = {}
    for option in options:
        settings = composed(f"model={option}")
        own.setdefault(settings.model.name, []).append(settings_of(settings))
    return lambda name: own.get(name, [])


def write(
    folder: Path,
    *overrides,
    task="SCIDOCS",
    scores=None,
    mode=DENSE,
    model=BGE,
    revision=COMMIT,
    weights="0" * 64,
    data=None,
    label="dense-cosine-cls",
    dtype="float32",
    **settings,
):
    """Write one result; overrides are those of `harness run`, `model=bge_small` first."""
    official = mteb.get_task(task)
    scores = scores or {"test": {"default": {"main_score": 0.25, "ndcg_at_10": 0.25}}}
    result = TaskResult.from_task_results(official, scores, evaluation_time=1.5)
    result.dataset_revision = data or official.metadata.revision
    config = parse(RunConfig, composed(*(overrides or ("model=bge_small",))), where="")
    space = {"weights": weights, "instruction": {"pieces": [task, ""]}, "dtype": dtype}
    sides = ("query", "document", "symmetric")
    encoder = {} if model == "baseline/bm25s" else {"encoder": dict.fromkeys(sides, space)}
    experiment = Experiment(
        mode=mode["kind"],
        model=model,
        revision=revision,
        settings={"version": 1, "mode": mode, **encoder, **settings},
        folder=f"{label}-{settings_hash({'own': [task, mode, overrides, dtype, settings]})}",
    )
    return write_result(
        result_path(folder, experiment, task),
        Evaluated(result, {f"{split}/{s}": {} for split in scores for s in scores[split]}),
        experiment=experiment,
        main_metric=official.metadata.main_score,
        task_type=official.metadata.type,
        meta={},
        config=OmegaConf.to_yaml(OmegaConf.structured(config)),
        environment={"software": SOFTWARE},
    )


def files(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def faults(results: Path):
    """What the repository's own tests would say of a folder of results, one line a fault.

    Of its tests of structure, metadata, revisions, names, duplicates, implementations and run
    settings; those that compare with what is there already have nothing to compare.
    """
    return [
        line
        for model in sorted(results.iterdir())
        for check in (_metadata, _duplicates, _implemented, _results)
        for line in check(model)
    ]


def _metadata(model: Path):
    for revision in sorted(model.iterdir()):
        file = revision / "model_meta.json"
        if not file.is_file():
            yield f"{revision} has no model_meta.json"
            continue
        meta = json.loads(file.read_text())
        name, commit = meta["name"], meta["revision"]
        if name.count("/") != 1:
            yield f"{file} names no organisation"
        if model.name != name.replace(" ", "_").replace("/", "__") or revision.name != commit:
            yield f"{file} is not where its name and revision say"
        hexadecimal = len(commit) == 40 and not set(commit) - set("0123456789abcdef")
        if not hexadecimal and name != "mteb/baseline-bm25s":
            yield f"{commit} is no commit"
        for experiment in sorted(revision.glob("experiments/*")):
            own = json.loads((experiment / "model_meta.json").read_text())
            described = mteb.models.ModelMeta.model_construct(**own)
            if (own["name"], own["revision"]) != (name, commit):
                yield f"{experiment} is of another model"
            if described.experiment_name != experiment.name:
                yield f"{experiment} is not named as its experiment_kwargs say"


def _duplicates(model: Path):
    tasks = [path.stem for path in model.glob("*/*.json") if path.name != "model_meta.json"]
    yield from (f"{task} is there twice" for task in set(tasks) if tasks.count(task) > 1)


def _implemented(model: Path):
    metas = [json.loads(path.read_text())["name"] for path in model.rglob("model_meta.json")]
    if not {*metas, model.name.replace("__", "/")} & {m.name for m in mteb.get_model_metas()}:
        yield f"{model.name} is not implemented"


def _results(model: Path):
    for path in sorted(model.rglob("*.json")):
        if path.name == "model_meta.json":
            continue
        result = TaskResult.from_disk(path, load_historic_data=False)
        if path.stem != result.task_name:
            yield f"{path} is a result of {result.task_name}"
        versions = [result.mteb_version]
        covered = set()
        for line in (path.parent / "run_settings.jsonl").read_text().splitlines():
            entry = json.loads(line)
            versions.append(entry["version"]["mteb"])
            covered |= {key for key, _, _ in _expand_run_settings_entry(entry)}
        for split, scores in result.scores.items():
            for score in scores:
                versions.append(score["mteb_version"])
                if (path.stem, split, score["hf_subset"]) not in covered:
                    yield f"{path} has no settings of {split}/{score['hf_subset']}"
        if any(int(version.split(".")[0]) < 2 for version in versions):
            yield f"{path} is of an old mteb"
