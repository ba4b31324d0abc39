"""What was given on the command line, as distinct from what configurations say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast


def given_settings() -> Iterator[tuple[str, str]]:
    """Each setting of the command line, and the words that set it."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    lines = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    for line in cast("list[str]", lines):
        yield line.partition("=")[0].lstrip("+~"), line
