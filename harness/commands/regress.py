"""`harness regress`: a run against its baselines, or the baselines anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.evaluate import conclude, evaluate, list_tasks
from harness.config import RegressConfig, parse
from harness.errors import BadInputError
from harness.sweep import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from harness.evaluation.runner import RunOutcome
    from harness.regression.quality import QualityRule
    from harness.regression.report import Report
    from harness.regression.snapshot import Snapshot


def regress(settings: DictConfig) -> int:
    """Run what is missing and compare it with the baselines, or write them.

    Returns:
        0, or 1 for a regression, a task that did not finish or a published score that was not
        reproduced.
    """
    config = parse(RegressConfig, settings, where="")
    if config.info:
        return list_tasks(config)
    return _update(config) if config.update else _compare(config)


def _compare(config: RegressConfig) -> int:
    from harness.progress import say
    from harness.regression.current import run_snapshots
    from harness.regression.matching import match, read_baselines, refusal
    from harness.regression.report import older_results, report_on
    from harness.regression.timed import LatencyBaseline
    from harness.regression.words import alarm_line, summary
    from harness.sweep.conduct import overview_hidden

    baselines = read_baselines(Path(config.baselines_dir))
    latencies = LatencyBaseline(config)
    evaluation = evaluate(config)
    rows = evaluation.outcome.rows
    metrics = [
        *config.metrics,
        *(m for one in baselines.values() for place in one.places.values() for m in place.scores),
    ]
    run = run_snapshots(rows, Path(config.results_dir), metrics=metrics)
    matches = match(baselines, run, asked=config.metrics)
    report = report_on(matches, _rule(config), cost_tolerance=config.cost_tolerance)
    if line := refusal(matches):
        raise BadInputError(f"{line}; what can be compared: {summary(report.checks)}")
    checks, notes = latencies.compare(run)
    report.checks.extend(checks)
    report.notes.extend([*notes, *older_results(rows, **_origin(evaluation.outcome))])
    with overview_hidden():
        _print(config, report)
    _write_files(config, report)
    status = conclude(config, evaluation)
    for note in report.notes:
        say(note)
    for check in report.alarms:
        say(f"regression: {alarm_line(check)}")
    say(summary(report.checks))
    tell([alarm_line(check) for check in report.alarms])
    return 1 if report.alarms else status


def _update(config: RegressConfig) -> int:
    from harness.progress import say
    from harness.regression.baselines import baseline_path, baseline_paths, write_baseline
    from harness.regression.changes import change_lines
    from harness.regression.compare import compare
    from harness.regression.current import run_snapshots
    from harness.regression.timed import LatencyBaseline
    from harness.regression.words import counted
    from harness.sweep.conduct import overview_hidden

    folder = Path(config.baselines_dir)
    latencies = LatencyBaseline(config)
    evaluation = evaluate(config)
    run = run_snapshots(evaluation.outcome.rows, Path(config.results_dir), metrics=config.metrics)
    written = 0
    for now in run:
        path = baseline_path(folder, now.system)
        old, fault = _old(path)
        pair = [(old, now)] if old is not None else []
        lines = fault + change_lines(old, now, compare(pair, _rule(config)))
        written += write_baseline(path, now)
        with overview_hidden():
            _print_changes(config, path, lines)
    for line in latencies.write(run):
        say(line)
    own = {baseline_path(folder, now.system) for now in run}
    for path in baseline_paths(folder):
        if path not in own:
            say(f"left as it is, this run has nothing for it: {path}")
    status = conclude(config, evaluation)
    say(f"{counted(written, 'baseline')} written, {len(run) - written:,} unchanged: {folder}")
    return status


def _old(path: Path) -> tuple[Snapshot | None, list[str]]:
    """The baseline that is there, and a line where it cannot be read."""
    from harness.regression.baselines import read_baseline

    try:
        return (read_baseline(path) if path.exists() else None), []
    except BadInputError as error:
        return None, [f"replaced: {error}"]


def _rule(config: RegressConfig) -> QualityRule:
    from harness.regression.quality import QualityRule

    return QualityRule(
        tolerance=config.tolerance,
        tolerances=config.tolerances or {},
        noise_floor=config.noise_floor,
        significance=config.significance,
    )


def _origin(outcome: RunOutcome) -> dict[str, Any]:
    """What tells how much of a run this code computed."""
    from harness.cost.hardware import git_commit

    commit = git_commit(Path(__file__).parent)
    return {
        "commit": f"{commit.commit[:12]}{'+' * commit.dirty}" if commit else "",
        "computed": outcome.computed,
        "texts_read": outcome.texts_read,
    }


def _print(config: RegressConfig, report: Report) -> None:
    from harness.regression.table import print_checks
    from harness.reporting.terminal import print_json, standard_output

    if config.format != "json":
        print_checks(standard_output(), report.checks)
        return
    print_json(check.flat() for check in report.checks)


def _print_changes(config: RegressConfig, path: Path, lines: Sequence[str]) -> None:
    from rich.text import Text

    from harness.reporting.terminal import print_json, standard_output
    from harness.text import printable

    if config.format == "json":
        print_json([{"baseline": str(path), "changes": list(lines)}])
        return
    console = standard_output()
    for line in (str(path), *(f"  {line}" for line in lines or ["unchanged"])):
        console.print(Text(printable(line)), soft_wrap=True)


def _write_files(config: RegressConfig, report: Report) -> None:
    from harness.files import write_text
    from harness.regression.junit import junit_text
    from harness.regression.markdown import markdown_text

    texts = {
        "junit": junit_text(report.checks, report.skipped),
        "markdown": markdown_text(report.checks, report.notes),
    }
    for setting, text in texts.items():
        file = getattr(config, setting)
        if file is None:
            continue
        try:
            write_text(Path(file).expanduser(), text)
        except OSError as error:
            raise BadInputError(
                f"{setting}={file} cannot be written ({error.strerror}); name another file"
            ) from error
