"""Steps that follow each other, each from the product of the one before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.config import ModelConfig, TrainingStagesConfig
from harness.training.step import perform_step


def perform(
    config: Any, start: ModelConfig | None, output: Path, device: str
) -> list[dict[str, Any]]:
    """Perform a step or several.

    Args:
        config: A step of the group `train`.
        start: The model that it starts from, if it does.
        output: The folder of its product; of several, the folder of their folders.
        device: See `TrainConfig`.

    Returns:
        The records, one a step.

    Raises:
        BadInputError: See `perform_step`.
    """
    if not isinstance(config, TrainingStagesConfig):
        return [perform_step(config, start, output, device=device, name=output.name)]
    records = []
    for name, step in config.stages.items():
        folder = output / name
        records.append(perform_step(step, start, folder, device=device, name=name))
        start = ModelConfig(path=str(folder))
    return records
