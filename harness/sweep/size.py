"""What a sweep goes over, and how many jobs that makes, before it starts."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


def is_search(sweeper: Any) -> bool:
    """Whether a sweeper chooses settings as it goes, by what jobs return.

    Args:
        sweeper: Its configuration.
    """
    return not str(sweeper.get("_target_", "")).endswith(".BasicSweeper")


def swept_settings(hydra: DictConfig) -> list[str]:
    """Names of the settings that a sweep goes over.

    Args:
        hydra: Hydra's own configuration.
    """
    return [name for name, one in _overrides(hydra).items() if one.is_sweep_override()]


def number_of_jobs(hydra: DictConfig) -> int | None:
    """Jobs of a sweep: combinations of its settings, or trials; None where nobody knows.

    Args:
        hydra: Hydra's own configuration.
    """
    if is_search(hydra.sweeper):
        trials = hydra.sweeper.get("n_trials")
        return None if trials is None else int(trials)
    return prod(
        sum(1 for _ in one.sweep_string_iterator())
        for one in _overrides(hydra).values()
        if one.is_discrete_sweep()
    )


def _overrides(hydra: DictConfig) -> dict[str, Override]:
    """By name; the command line's stand above the sweeper's own."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    running = GlobalHydra.instance()
    groups = running.config_loader() if running.is_initialized() else None  # what `glob` looks in
    given = [f"{name}={value}" for name, value in (hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create(groups).parse_overrides([*given, *hydra.overrides.task])
    return {one.get_key_element().lstrip("+"): one for one in parsed}
