"""`harness train`: make an embedder out of a decoder, or a decoder out of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.commands.given import given_settings
from harness.config import EmbeddingStepConfig, TrainConfig, parse
from harness.config.training_steps import POOLINGS
from harness.errors import BadInputError
from harness.progress import say

if TYPE_CHECKING:
    from omegaconf import DictConfig

# The group is there for the files of `conf/model`, which choose options of it.
_OF_RUNS = {
    "pooling": "train.pooling is what is trained",
    "instruction": "training puts nothing around a text",
    "head": "training uses the model's own head",
    "task_instructions": "training has no tasks",
}
_SETTINGS = ("train", "output", "model", "device", "format", "debug")


def train(settings: DictConfig) -> int:
    """Train, and print what was made."""
    from omegaconf import DictConfig, OmegaConf

    for setting, _ in given_settings():
        if (group := setting.partition(".")[0]) in _OF_RUNS:
            raise BadInputError(f"{setting}: {_OF_RUNS[group]}; leave it out")
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

    if is_first_process():
        _tell_what_is_left_out(config)
    output = Path(config.output).expanduser()
    records = perform(config.train, config.model, output, config.device)
    if is_first_process():
        print_training(records, output, as_json=config.format == "json")
    return 0


def _tell_what_is_left_out(config: TrainConfig) -> None:
    """Say where a published embedder is trained otherwise than it is read."""
    from hydra.core.hydra_config import HydraConfig

    step = next((one for one in config.steps if isinstance(one, EmbeddingStepConfig)), None)
    if step is None:
        return
    chosen = HydraConfig.get().runtime.choices
    own = {"mean_of_text": "mean"}.get(chosen["pooling"], chosen["pooling"])
    if own not in ("auto", "mean", step.pooling):
        way = "train.pooling chooses" if own in POOLINGS else "training has no such pooling"
        say(f"this model is read with pooling={own} and trained with {step.pooling}: {way}")
    if chosen["instruction"] not in ("auto", "none"):
        say("this model's instructions are left out: training puts nothing around a text")
