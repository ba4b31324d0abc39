"""What an experiment is: one mode with every setting that can change its scores, and its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.config import identity
from harness.files import readable_name

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.config import RunConfig
    from harness.embedding.encoder import TextEncoder

SCORING_VERSION = 1  # raised when a change of the code changes scores
LEXICAL_MODEL = "baseline/bm25s"  # a mode without a model has results of its own, shared by all


@dataclass(frozen=True)
class Experiment:
    """One mode of a run.

    Attributes:
        mode: The mode's name in the run.
        model: `organisation/model` under which results are filed.
        revision: Its revision.
        settings: All that can change a score, JSON-able.
        folder: `{readable-id}-{hash}`.
    """

    mode: str
    model: str
    revision: str
    settings: dict[str, Any]
    folder: str


def experiments(config: RunConfig, encoder: TextEncoder, head: Head) -> dict[str, Experiment]:
    """The experiment of every mode of a run, by the mode's name."""
    result = {}
    for name, mode in config.retrieval.items():
        settings: dict[str, Any] = {"version": SCORING_VERSION, "mode": identity(mode)}
        kinds = _kinds(config, name)
        if hasattr(mode, "modes"):
            settings["parts"] = {part: identity(config.retrieval[part]) for part in mode.modes}
        if "bm25" in kinds:
            settings["bm25s"] = version("bm25s")
        lexical = kinds == {"bm25"}
        if not lexical:
            settings["encoder"] = encoder_settings(config, encoder)
        if "aligned_sparse" in kinds:
            settings["head"] = head.identity()
        label = mode.label() if name == mode.kind else f"{name}-{mode.label()}"
        if not lexical:
            label += f"-{config.pooling.kind}"
        if "aligned_sparse" in kinds:
            label += f"-{config.head.kind}"
        result[name] = Experiment(
            mode=name,
            model=LEXICAL_MODEL if lexical else encoder.model.name,
            revision=version("bm25s") if lexical else encoder.model.revision,
            settings=settings,
            folder=f"{readable_name(label)[:80]}-{settings_hash(settings)}",
        )
    return result


def encoder_settings(config: RunConfig, encoder: TextEncoder) -> dict[str, Any]:
    """What decides the embeddings of a run, JSON-able."""
    return {
        "query": encoder.space("query"),
        "document": encoder.space("document"),
        "normalize": config.model.normalize,
    }


def settings_hash(settings: dict[str, Any]) -> str:
    """12 hexadecimal digits that stand for all settings."""
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _kinds(config: RunConfig, name: str) -> set[str]:
    """The kinds of modes that a mode consists of, itself unless it is a fusion."""
    mode = config.retrieval[name]
    if hasattr(mode, "modes"):
        return set().union(*(_kinds(config, part) for part in mode.modes))
    return {mode.kind}
