"""The command line: command name to Hydra application, errors to exit statuses."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from harness import __version__
from harness.errors import HarnessError, TaskFailedError, explain
from harness.sweep.job import Job
from harness.text import printable

if TYPE_CHECKING:
    from harness.sweep.conduct import Sweep

COMMANDS = {
    "run": "evaluate a model in every retrieval mode and print the comparison",
    "status": "list the runs under results_dir: done, partial, failed, running, killed",
    "analyze": "measure which tokens embeddings align to, and study sparse retrieval with them",
    "train": "make an embedder out of a decoder: masked prediction, contrastive training",
    "inspect": "show what a model reads of a text, and the tokens that it aligns to",
    "plan": "tell what a run would cost in FLOPs, time and bytes, before anything is loaded",
    "regress": "compare a run with its baselines: quality, FLOPs, bytes, times",
    "report": "turn results into a leaderboard page and tables",
    "compare": "set two runs side by side, query by query, with paired tests",
    "export": "write results as TREC files, or as mteb's results repository has them",
}

_CLOSED_PIPE = 141  # what a shell reports of a program that a closed pipe ended
# Settings whose value is a person's text or a name, not Hydra's grammar.
_VERBATIM = ("text", "other", "run_a", "run_b")

_HYDRA_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

_USAGE = """harness: text embeddings from large language models, scored in every retrieval mode

usage: harness COMMAND [SETTING=VALUE ...]

commands:
{commands}

  harness COMMAND --help          what a command does, its settings, examples
  harness COMMAND --cfg job       the whole configuration that would be used
  harness run -m head=ridge,tied  a sweep over every combination
  eval "$(harness -sc install=bash)"   tab completion (also zsh, fish)
  harness --version
"""


def main() -> NoReturn:
    """Run the command line and exit with its status: 0 done, 1 a check failed, 2 bad input."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        lines = [f"  {name:<8} {summary}" for name, summary in COMMANDS.items()]
        print(_USAGE.format(commands="\n".join(lines)))
        return 0 if arguments else 2
    if arguments[0] in ("--version", "-V"):
        print(f"harness {__version__}")
        return 0
    if arguments[0] in ("-sc", "--shell-completion"):
        return _complete(arguments)
    command = arguments[0]
    if command not in COMMANDS:
        return _fail(f"{command!r} is no command; choose one of: {', '.join(COMMANDS)}", 2)
    return _hydra(command, arguments[1:])


def config_folder() -> Path:
    """The configuration tree: in the package once installed, beside it in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "conf"


def _hydra(command: str, arguments: list[str]) -> int:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf import DictConfig
    from omegaconf.errors import OmegaConfBaseException

    status = 0
    started = False

    def job(settings: DictConfig) -> tuple[float, ...] | None:
        nonlocal status, started
        started = True
        module = importlib.import_module(f"harness.commands.{command}")
        perform = getattr(module, command)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _job_of_sweep(perform, settings)
        status, _ = _guarded(perform, settings)
        return None

    arguments = _with_listing(arguments) if command == "run" else arguments
    # Hydra wants its flag before the overrides; people put it anywhere.
    arguments = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
    arguments = [_quoted(argument) for argument in arguments]
    if refused := _unplannable(command, arguments):
        return _fail(refused, 2)
    sys.argv = [sys.argv[0], *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here, not to Hydra's own printing
    application = hydra.main(
        config_path=str(config_folder()), config_name=command, version_base="1.3"
    )(job)
    try:
        if arguments[:1] in (["-m"], ["--multirun"]) or "hydra.mode=MULTIRUN" in arguments:
            status = _sweep(application, arguments)
        else:
            application()
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept, the same command goes on", 130)
    except (HydraException, OmegaConfBaseException) as error:
        return _fail(_one_line(error), 2)
    except Exception as error:  # of a command, which has said it, or of what Hydra was given
        return status or _fail(_one_line(error), 1 if started else 2)
    return status


def _job_of_sweep(command: Callable[[Any], int], settings: Any) -> tuple[float, ...] | None:
    """Run a job of a sweep, in whichever process its launcher runs it.

    Returns:
        What a sweeper chooses the next settings by; None where none does.

    Raises:
        Exception: The job failed: Hydra goes on with the others.
    """
    from harness.sweep.conduct import job_ended

    job, outcome, error = Job.of_hydra(settings), 1, None
    try:
        outcome, error = _guarded(command, settings)
    finally:  # a key press ends it too
        if error is not None:
            job.record.unfinished.append(explain(error))
        job.end(outcome)
        job_ended()
    if outcome:
        raise error or TaskFailedError("a job of the sweep did not finish")
    return job.objectives


def _sweep(application: Callable[[], None], arguments: list[str]) -> int:
    """Run a sweep, or list its jobs; its last lines say what its jobs left unfinished, and why."""
    from harness.commands.sweeps import conclude
    from harness.sweep.conduct import conducted, plan_arguments
    from harness.sweep.record import unfinished_lines

    planned = _is_plan(arguments)
    with (
        plan_arguments(arguments) if planned else nullcontext(arguments) as given,
        conducted(shown=not planned) as sweep,
    ):
        sys.argv = [sys.argv[0], *given]
        try:
            status = _launched(application, sweep)
            sweep.end()
            conclude(sweep, planned=planned)
        finally:
            sweep.end()
            lines = unfinished_lines(sweep.jobs)
            if lines:
                print(f"harness: the sweep left {len(lines)} unfinished:", file=sys.stderr)
            for line in lines:
                print(f"  {printable(line)}", file=sys.stderr)
    return status


def _is_plan(arguments: list[str]) -> bool:
    return any(argument.lower() == "sweep.plan=true" for argument in arguments)


def _unplannable(command: str, arguments: list[str]) -> str | None:
    """Why the jobs of a sweep cannot be listed, if that is asked for; None where they can."""
    if not _is_plan(arguments):
        return None
    if command != "run":
        return f"sweep.plan=true lists what harness run would do; harness {command} has no plan"
    search = next((one for one in arguments if re.match("hydra/sweeper=(?!basic$)", one)), None)
    if search is None:
        return None
    return f"{search} chooses its jobs by what earlier ones find: leave it or sweep.plan=true out"


def _launched(application: Callable[[], None], sweep: Sweep) -> int:
    """Run all jobs: the worst of their exit statuses."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        application()
    except (HydraException, OmegaConfBaseException):
        raise
    except Exception as error:  # of a job, which has said it, or of a launcher
        if not sweep.jobs:
            raise
        if not any(job.exit_status for job in sweep.jobs):
            return _fail(_one_line(error), 1)
    return max((job.exit_status for job in sweep.jobs), default=0)


def _guarded(command: Callable[[Any], int], settings: Any) -> tuple[int, Exception | None]:
    """Run a command: its exit status, and the error that it ended with.

    The error is one line on standard error; with `debug=true` its traceback comes first.
    """
    try:
        return command(settings), None
    except BrokenPipeError as error:
        # Who reads our output, such as `head`, has enough; Python must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE, error
    except Exception as error:
        if settings.get("debug") is True:
            import traceback

            traceback.print_exc()
        status = error.exit_status if isinstance(error, HarnessError) else 1
        return _fail(explain(error), status), error


def _with_listing(arguments: list[str]) -> list[str]:
    """`--info` alone lists the tasks; `--info all` and the like stay Hydra's own."""
    return [
        "info=true" if argument == "--info" and after not in _HYDRA_INFO else argument
        for argument, after in pairwise([*arguments, ""])
    ]


def _complete(arguments: list[str]) -> int:
    """Shell completion: commands by name, then Hydra's own completion of their settings."""
    query = arguments[1].startswith("query=") if len(arguments) > 1 else False
    words = os.environ.get("COMP_LINE", "").split()
    if len(arguments) < 2:
        return _fail(f"{arguments[0]} wants install=bash, or zsh or fish", 2)
    if not query:
        return _hydra("run", arguments)
    if len(words) < 2 or words[1] not in COMMANDS:
        prefix = words[1] if len(words) > 1 else ""
        print(" ".join(name for name in COMMANDS if name.startswith(prefix)))
        return 0
    line = os.environ["COMP_LINE"]
    os.environ["COMP_LINE"] = line.replace(f" {words[1]}", "", 1)
    return _hydra(words[1], arguments)


def _quoted(argument: str) -> str:
    """An override whose value is a text, quoted so that Hydra takes it as it is."""
    name, equals, text = argument.partition("=")
    if name not in _VERBATIM or not equals:
        return argument
    # In a quoted value backslashes count only before a quote or an interpolation.
    text = re.sub(r"(\\*)(\$\{)", r"\1\1\\\2", text)
    text = re.sub(r"(\\*)('|\Z)", lambda run: run[1] * 2 + ("\\'" if run[2] else ""), text)
    return f"{name}='{text}'"


def _one_line(error: BaseException) -> str:
    """An error's message on one line, without the search path that Hydra adds."""
    message = " ".join(str(error).partition("Config search path:")[0].split())
    option = re.search(r"Could not load '([\w/]+)/[^/']+'", message)
    if option and (folder := config_folder() / option[1]).is_dir():
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        message = f"{message.rstrip('.')}; {option[1]} is one of: {', '.join(known)}"
    if re.search(r"Could not (find|load) 'hydra/(launcher|sweeper)/", message):
        message += "; joblib, submitit and Optuna come with pip install 'harness[sweep]'"
    if "hydra_ray_launcher" in message:
        message += "; it comes with pip install 'harness[ray]'"
    return message or type(error).__name__


def _fail(message: str, status: int) -> int:
    print(f"harness: {printable(message)}", file=sys.stderr)
    return status
