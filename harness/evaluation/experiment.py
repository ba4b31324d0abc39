"""What an experiment is: one mode with every setting that can change its scores, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError
from harness.files import readable_name

if TYPE_CHECKING:
    from harness.alignment.head import Head
    from harness.config import RetrievalConfig, RunConfig
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


def experiments(
    config: RunConfig,
    encoder: TextEncoder,
    head: Head,
    *,
    task: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Experiment]:
    """The experiment of every mode of a run, by the mode's name.

    Args:
        config: The run.
        encoder: The run's encoder.
        head: The run's head.
        task: Mode to what a task adds to its settings, see `Ledger`.
    """
    result = {}
    for name, mode in config.retrieval.items():
        settings: dict[str, Any] = {"version": SCORING_VERSION, "mode": mode.scored()}
        settings |= (task or {}).get(name, {})
        parts = _parts(config, name)
        if hasattr(mode, "modes"):
            settings["parts"] = {part: config.retrieval[part].scored() for part in mode.modes}
        settings |= {part.library: _version(part.library) for part in parts if part.library}
        lexical = {part.kind for part in parts} == {"bm25"}
        if not lexical:
            settings["encoder"] = encoder_settings(encoder)
        if any(part.reads_embeddings for part in parts):
            settings["normalize"] = encoder.model.normalize
        reads_head = any(part.reads_head for part in parts)
        if reads_head:
            settings["head"] = head.identity()
        label = mode.label() if name == mode.kind else f"{name}-{mode.label()}"
        if not lexical:
            label += f"-{config.pooling.kind}"
        if reads_head:
            label += f"-{config.head.kind}"
            if config.transform.kind != "none":
                label += f"-{config.transform.kind}"
        result[name] = Experiment(
            mode=name,
            model=LEXICAL_MODEL if lexical else encoder.model.name,
            revision=version("bm25s") if lexical else encoder.model.revision,
            settings=settings,
            folder=f"{readable_name(label)[:80]}-{settings_hash(settings)}",
        )
    return result


def encoder_settings(encoder: TextEncoder) -> dict[str, Any]:
    """What decides the embeddings of a run, JSON-able."""
    return {side: encoder.space(side) for side in ("query", "document", "symmetric")}


def settings_hash(settings: dict[str, Any]) -> str:
    """12 hexadecimal digits that stand for all settings."""
    canonical = json.dumps(settings, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError as error:
        raise BadInputError(f"{library} is not installed; pip install {library}") from error


def _parts(config: RunConfig, name: str) -> list[RetrievalConfig]:
    """The modes that a mode consists of, itself unless it is a fusion."""
    mode = config.retrieval[name]
    return [config.retrieval[part] for part in getattr(mode, "modes", (name,))]
