"""`harness analyze`: the ablation of training stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from omegaconf import DictConfig, ListConfig

from harness.components import at_least, one_of, parse_component, require

ATTENTIONS = ("causal", "bidirectional")
_FOLDERS = ["causal", "mntp", "simcse", "supervised"]
_POOLINGS = ["eos", "mean", "weighted_mean"]


@dataclass(kw_only=True)
class StagesConfig:
    """The stages that an embedder was trained in, each a model's folder, and how they are compared.

    Attributes:
        path: The folder that holds a folder for each stage; None where no stages are analysed.
        folders: Stages in the order of training: a mapping of name to folder, or a list of folders
            whose last parts are the names; causal, mntp, simcse and supervised when absent. A
            folder that is not absolute lies in `path`.
        poolings: Kinds of pooling that each stage is tried with, settings by kind once parsed;
            eos, mean and weighted_mean when absent.
        attentions: Attentions that each stage is tried with.
        pooling: The pooling of each stage's own setting, by which all but dense is judged.
        attention: Stage to the attention of its own setting; of stages that are not named the first
            one has causal attention, as a generative model has, all later ones bidirectional.
        head: The head that each stage's embeddings are read through; its own LM head when absent.
        query_expansion: Each M that aligned sparse retrieval is tried with.
        threshold: Share of dense that a mode is to reach.
        max_length: Longest input in tokens; each model's own limit when absent.
        examples: Queries whose aligned tokens are shown stage by stage.
    """

    path: str | None = None
    folders: Any = None
    poolings: Any = None
    attentions: list[str] = field(default_factory=lambda: list(ATTENTIONS))
    pooling: str = "mean"
    attention: dict[str, str] | None = None
    head: Any = None
    query_expansion: list[int] = field(default_factory=lambda: [0, 16])
    threshold: float = 0.8
    max_length: int | None = None
    examples: int = 2

    def __post_init__(self) -> None:
        """Validate, and put names to folders and settings to poolings."""
        self.folders = _named_folders(_FOLDERS if self.folders is None else self.folders)
        self.poolings = _parsed_poolings(_POOLINGS if self.poolings is None else self.poolings)
        head = {"kind": "lm_head"} if self.head is None else self.head
        self.head = parse_component("head", head, where="stages.head")
        one_of("pooling", self.pooling, list(self.poolings))
        for name in ("attentions", "query_expansion"):
            values = getattr(self, name)
            require(bool(values), f"{name} is empty; give one or more values")
            require(len(set(values)) == len(values), f"{name}={values} names a value twice")
        for attention in self.attentions:
            one_of("attentions", attention, ATTENTIONS)
        for stage in self.attention or {}:
            one_of("attention", stage, list(self.folders))
        for stage in self.folders:
            own = self.own_attention(stage)
            require(
                own in self.attentions,
                f"attentions={self.attentions} lacks {own!r}, the own attention of {stage}; add "
                f"it, or set stages.attention={{{stage}: ...}}",
            )
        for m in self.query_expansion:
            at_least("query_expansion", m, 0)
        at_least("threshold", self.threshold, 0)
        at_least("max_length", self.max_length, 8)
        at_least("examples", self.examples, 0)

    def own_attention(self, stage: str) -> str:
        """The attention of a stage's own setting."""
        first = next(iter(self.folders))
        return (self.attention or {}).get(stage, "causal" if stage == first else "bidirectional")

    def folder(self, stage: str) -> Path:
        """Where a stage's model is."""
        assert self.path is not None
        return Path(self.path).expanduser() / Path(self.folders[stage]).expanduser()


def _named_folders(given: Any) -> dict[str, str]:
    """Stage to folder, in order."""
    if isinstance(given, Mapping | DictConfig):
        pairs = [(str(name), folder) for name, folder in given.items()]
    else:
        listed = list(given) if isinstance(given, list | ListConfig) else [given]
        pairs = [(PurePath(str(folder)).name, folder) for folder in listed]
    require(bool(pairs), "folders is empty; name the stages, such as [causal,mntp]")
    for name, folder in pairs:
        require(
            isinstance(folder, str) and bool(folder.strip()) and bool(name.strip()),
            f"folders: {folder!r} is no folder; write a list of folders, or {{name: folder}}",
        )
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    require(
        twice is None, f"folders has {twice!r} twice; give each a name of its own, as name: folder"
    )
    return dict(pairs)


def _parsed_poolings(given: Any) -> dict[str, Any]:
    """Kind to its settings, in order."""
    kinds = list(given) if isinstance(given, list | ListConfig | DictConfig | dict) else [given]
    require(
        all(isinstance(kind, str) for kind in kinds),
        f"poolings={kinds} must be kinds of pooling, such as [eos,mean]",
    )
    require(bool(kinds), "poolings is empty; give kinds of pooling, such as [eos,mean]")
    require(len(set(kinds)) == len(kinds), f"poolings={kinds} names a kind twice")
    poolings = {
        str(kind): parse_component("pooling", {"kind": kind}, where="stages.poolings")
        for kind in kinds
    }
    for kind, pooling in poolings.items():
        plain = getattr(pooling, "copies", 2) == 1 and pooling.reads == "last_hidden_state"
        require(
            plain,
            f"poolings: {kind!r} reads another prompt or the logits; choose eos, last_token, mean, "
            "weighted_mean, max, cls or bos",
        )
    return poolings
