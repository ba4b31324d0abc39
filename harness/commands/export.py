"""`harness export`: results for others, as TREC files or as the official repository has them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import ExportConfig, parse
from harness.errors import BadInputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from harness.evaluation.results import StoredResult
    from harness.reporting.mteb_settings import OwnSettings

_LONGEST_NAME = 200


@dataclass
class _Done:
    """What was written, and what could not be.

    Attributes:
        runs: Each run file and its qrels file.
        unranked: Results of tasks that rank nothing.
        unjudged: Results that were made before judgements were stored.
        unreadable: One line for each result that cannot be read.
        escaped: Whether an id is not written as it is.
    """

    runs: list[tuple[Path, Path]] = field(default_factory=list)
    unranked: int = 0
    unjudged: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    escaped: bool = False


def export(settings: DictConfig) -> int:
    """Write all results, or those of some tasks, in the layout that is asked for.

    Returns:
        0, or 1 when a result could not be read or has no judgements; the others are written.
    """
    config = parse(ExportConfig, settings, where="")
    try:
        return (_trec if config.format == "trec" else _mteb)(config)
    except OSError as error:
        raise BadInputError(
            f"export_dir={config.folder} cannot be written ({error.strerror}); name another folder "
            "with export_dir=DIR"
        ) from error


def _trec(config: ExportConfig) -> int:
    """Run and qrels files."""
    done = _Done()
    results = _results(config, done.unreadable)
    for task in config.task:
        if not any(_task(stored) == task and _ranks(stored) for stored in results):
            raise BadInputError(f"task={task} ranks nothing, so there is no run to export")
    for stored in results:
        _export(stored, config.folder, done)
    for run, qrels in done.runs:
        print(f"{run}\t{qrels}")
    _tell(done, config.folder)
    return 1 if done.unreadable or done.unjudged else 0


def _mteb(config: ExportConfig) -> int:
    """The layout of the official results repository."""
    from harness.progress import say
    from harness.reporting.mteb_export import export_official

    unreadable: list[str] = []
    results = _results(config, unreadable)
    done = export_official(results, config.folder, shipped=lambda name: _shipped().get(name, []))
    for path in done.paths:
        print(path)
    unreadable += done.unreadable
    for line in unreadable:
        say(f"left out: {line}")
    for line in done.skipped:
        say(f"skipped: {line}")
    for line in done.notes:
        say(f"note: {line}")
    say(
        f"{len(done.paths)} results, {done.experiments} of them of experiments: "
        f"{config.folder / 'results'}"
    )
    if done.paths:
        cache = f"mteb.ResultCache({str(config.folder)!r})"
        say(f"to read them: {cache}.load_results(load_experiments='match_name')")
    return 1 if unreadable else 0


@cache
def _shipped() -> dict[str, list[OwnSettings]]:
    """The settings of each model that a configuration comes with, by the model's name."""
    from hydra import compose
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from harness.reporting.mteb_settings import settings_of

    found: dict[str, list[OwnSettings]] = {}
    for option in GlobalHydra.instance().config_loader().get_group_options("model"):
        composed = compose("run", overrides=[f"model={option}"])
        if not OmegaConf.missing_keys(composed.model):
            found.setdefault(composed.model.name, []).append(settings_of(composed))
    return found


def _results(config: ExportConfig, unreadable: list[str]) -> list[StoredResult]:
    """The results of the tasks that were asked for; of what cannot be read there is a line."""
    from harness.evaluation.results import read_result, result_paths

    results = []
    for path in result_paths(Path(config.results_dir)):
        try:
            stored = read_result(path)
        except BadInputError as error:
            unreadable.append(str(error))
        else:
            results += [stored] if stored else []
    known = sorted({_task(stored) for stored in results})
    for task in config.task:
        if task not in known:
            raise BadInputError(
                f"task={task} has no results; those that have: {', '.join(known) or 'none'}"
            )
    return [stored for stored in results if not config.task or _task(stored) in config.task]


def _ranks(stored: StoredResult) -> bool:
    from harness.evaluation.results import details_folder

    return (details_folder(stored.path) / "rankings.parquet").exists()


def _task(stored: StoredResult) -> str:
    return str(stored.result.get("task_name", stored.path.stem))


def _export(stored: StoredResult, folder: Path, done: _Done) -> None:
    """Write one result's runs, and their judgements unless they are written."""
    from harness.evaluation.metrics import PER_QUERY_FILE, QRELS_FILE
    from harness.evaluation.results import details_folder
    from harness.evaluation.trec import read_scored, trec_id, write_trec_qrels, write_trec_run

    details = details_folder(stored.path)
    if not _ranks(stored):
        done.unranked += 1
        return
    if not all((details / name).exists() for name in (PER_QUERY_FILE, QRELS_FILE)):
        done.unjudged.append(stored.path)
        return
    try:
        places = read_scored(details)
    except BadInputError as error:
        done.unreadable.append(f"{error}; delete {stored.path} and it will be computed again")
        return
    experiment = stored.path.parent
    own = folder / experiment.parents[2].name / experiment.parents[1].name / experiment.name
    written = {qrels for _, qrels in done.runs}
    for place, (run, qrels) in places.items():
        files = (
            own / f"{_name(_task(stored), *place)}.run",
            folder
            / "qrels"
            / f"{_name(_task(stored), stored.result['dataset_revision'], *place)}.qrels",
        )
        write_trec_run(files[0], run, tag=experiment.name)
        if files[1] not in written:
            write_trec_qrels(files[1], qrels)
        done.runs.append(files)
        ids = {name for part in (run, qrels) for query in part for name in (query, *part[query])}
        done.escaped = done.escaped or any(trec_id(name) != name for name in ids)


def _name(task: str, *parts: str) -> str:
    """A file name that no other task, revision, split and subset has."""
    from harness.files import file_name

    escaped = [file_name(part).replace(".", "%2E") for part in parts]
    name = ".".join([file_name(task), *escaped])
    return name if len(name) <= _LONGEST_NAME else file_name(name)


def _tell(done: _Done, folder: Path) -> None:
    from harness.progress import say

    for line in done.unreadable:
        say(f"left out: {line}")
    if done.unjudged:
        say(
            f"left out: {len(done.unjudged)} results without stored judgements, the first "
            f"{done.unjudged[0]}; delete them and run again: they will be computed again"
        )
    if done.unranked:
        say(f"skipped: {done.unranked} results of tasks that rank nothing")
    if done.escaped:
        say("ids with white space or unprintable characters are written with %XX for each of them")
    say(f"{len(done.runs)} runs: {folder}; their judgements: {folder / 'qrels'}")
    if done.runs:
        run, qrels = (shlex.quote(str(path)) for path in done.runs[0])
        say(f"for instance: trec_eval -c -m ndcg_cut.10 {qrels} {run}")
        say(f"          or: ir_measures {qrels} {run} nDCG@10")
