"""`harness train`: one step of making an embedder, or several that follow each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.components import (
    ComponentConfig,
    component,
    one_of,
    parse_component,
    require,
)


@component("train", "stages", "harness.training.stages:perform")
@dataclass(kw_only=True)
class TrainingStagesConfig(ComponentConfig):
    """Steps that follow each other: each starts from what the one before it made.

    Attributes:
        stages: Name to a step; its product is a folder of that name under `output`. An empty
            mapping or null leaves one out.
    """

    kind: str = "stages"
    stages: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate."""
        self.stages = {
            str(name): parse_component("train", step, where=f"train.stages.{name}")
            for name, step in self.stages.items()
            if step
        }
        require(bool(self.stages), "stages is empty; name at least one step")
        for name, step in self.stages.items():
            require(step.kind != "stages", f"stages.{name}: stages cannot hold stages")
            require(
                step.kind != "pretrain" or name == next(iter(self.stages)),
                f"stages.{name}: a new model starts from no other; make it the first stage",
            )
            require(
                name.replace("_", "").replace("-", "").isalnum(),
                f"stages.{name}: a stage's name becomes a folder; use letters, digits, - and _",
            )


@dataclass(kw_only=True)
class TrainConfig:
    """`harness train`.

    Attributes:
        train: The step, or stages of steps.
        model: What a step starts from, as in `harness run`; a new model needs none.
        output: The folder that the product is written to.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, or `mps`; several processes take one each.
        format: `table`, or `json` for one JSON object a finished step on standard output.
        debug: Whether errors show their traceback.
    """

    train: Any
    output: str
    model: Any = None
    device: str = "auto"
    format: str = "table"
    debug: bool = False

    def __post_init__(self) -> None:
        """Validate."""
        self.train = parse_component("train", self.train, where="train")
        if self.model is not None:
            self.model = parse_component("model", self.model, where="model")
        require(bool(self.output.strip()), "output is empty; give a folder")
        one_of("format", self.format, ("table", "json"))
        new = self.steps[0].kind == "pretrain"
        require(
            new or self.model is not None,
            "model: this step starts from a decoder; give model=local model.path=FOLDER",
        )
        require(
            not new or self.model is None,
            "model: a new model (kind=pretrain) starts from no other; leave model out, or choose "
            "another train",
        )

    @property
    def steps(self) -> list[Any]:
        """The one step, or those of the stages in their order."""
        stages = isinstance(self.train, TrainingStagesConfig)
        return list(self.train.stages.values()) if stages else [self.train]
