"""`harness train`: make an embedder out of a decoder, or a decoder out of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.config import TrainConfig, parse

if TYPE_CHECKING:
    from omegaconf import DictConfig

_SETTINGS = ("train", "output", "model", "device", "format", "debug")


def train(settings: DictConfig) -> int:
    """Train, and print what was made."""
    from omegaconf import DictConfig, OmegaConf

    # Resolved here, where all settings are: the recipe's files refer to some that no step has.
    chosen = OmegaConf.masked_copy(settings, list(_SETTINGS))
    for name in _SETTINGS:
        if isinstance(settings.get(name), DictConfig):
            chosen[name] = OmegaConf.to_container(settings[name], resolve=True)
    config = parse(TrainConfig, chosen, where="")

    from pathlib import Path

    from harness.reporting.training import print_training
    from harness.training.stages import perform
    from harness.training.worker import is_first_process

    output = Path(config.output).expanduser()
    records = perform(config.train, config.model, output, config.device)
    if is_first_process():
        print_training(records, output, as_json=config.format == "json")
    return 0
