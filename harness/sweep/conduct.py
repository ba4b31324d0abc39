"""The process that a sweep was started in: it knows the folder, watches the jobs, and ends it."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

from harness.sweep.overview import Overview
from harness.sweep.record import JobRecord, clear_jobs, read_jobs
from harness.sweep.size import is_search, number_of_jobs, swept_settings

if TYPE_CHECKING:
    from omegaconf import DictConfig

_sweep: Sweep | None = None


class Sweep:
    """A sweep from the outside.

    Attributes:
        folder: Its own; None until it has begun.
    """

    def __init__(self, *, shown: bool = True) -> None:
        self.folder: Path | None = None
        self._shown = shown
        self._overview: Overview | None = None

    def begin(self, hydra: DictConfig) -> None:
        """Take note of the folder, and watch it.

        Args:
            hydra: Hydra's own configuration.
        """
        self.folder = Path(hydra.sweep.dir).absolute()
        clear_jobs(self.folder)
        if is_search(hydra.sweeper):
            _quieten_optuna()
        if self._shown:
            # Joblib's processes write to this process's standard error, between a bar's redrawings.
            apart = "joblib" not in str(hydra.launcher.get("_target_", ""))
            self._overview = Overview(
                self.folder, number_of_jobs(hydra), swept=swept_settings(hydra), bar=apart
            )

    def look(self) -> None:
        """Show what has changed."""
        if self._overview is not None:
            self._overview.look()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """See `Overview.hidden`."""
        with self._overview.hidden() if self._overview is not None else nullcontext():
            yield

    def end(self) -> None:
        """Watch no more."""
        if self._overview is not None:
            self._overview.stop()
        self._overview = None

    @property
    def jobs(self) -> list[JobRecord]:
        """The jobs that have started, by number."""
        return [] if self.folder is None else read_jobs(self.folder)


class Watch(Callback):
    """Hydra tells it that a sweep begins."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """See `Sweep.begin`."""
        if _sweep is not None:
            _sweep.begin(config.hydra)


@contextmanager
def conducted(*, shown: bool = True) -> Iterator[Sweep]:
    """What Hydra runs meanwhile is watched.

    Args:
        shown: Whether people are shown how it goes.
    """
    global _sweep  # noqa: PLW0603  Hydra makes the callback, out of a configuration
    _sweep = Sweep(shown=shown)
    # Ours has the name of the plugin's, and stays within what that one allows.
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/ray' is validated against")
    try:
        yield _sweep
    finally:
        _sweep.end()
        _sweep = None


def job_ended() -> None:
    """Show at once that a job of this process has ended."""
    if _sweep is not None:
        _sweep.look()


@contextmanager
def overview_hidden() -> Iterator[None]:
    """Standard output belongs to a job of this process meanwhile."""
    with _sweep.hidden() if _sweep is not None else nullcontext():
        yield


@contextmanager
def plan_arguments(arguments: Sequence[str]) -> Iterator[list[str]]:
    """A sweep's arguments for listing its jobs: in this process, and nothing is left on the disk.

    Args:
        arguments: Those of the sweep.
    """
    with tempfile.TemporaryDirectory(prefix="harness-plan-") as folder:
        kept = [
            argument
            for argument in arguments
            if not argument.lstrip("+~").startswith(("hydra/launcher", "hydra.launcher."))
            and not argument.startswith("hydra.sweep.dir=")
        ]
        yield [*kept, f"hydra.sweep.dir='{folder}'"]


def is_conducted() -> bool:
    """Whether a sweep was started in this process."""
    return _sweep is not None


def _quieten_optuna() -> None:
    """The overview says what Optuna would log."""
    with suppress(ImportError):
        import optuna

        logging.getLogger("hydra_plugins.hydra_optuna_sweeper").setLevel(logging.CRITICAL)
        optuna.logging.set_verbosity(logging.WARNING)
