"""What the official results repository calls a model of ours: name, revision and metadata.

It files results by a commit of the hub. A model that was given as a folder, or by a branch, is
known here by its content alone; its commit is known all the same where the local hub cache has a
commit of the repository with the same content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mteb

from harness.config import ModelConfig, parse_component
from harness.embedding.adapters import ADAPTER_FILES
from harness.embedding.model import EmbeddingModel
from harness.errors import BadInputError
from harness.evaluation.bridge import model_meta
from harness.evaluation.experiment import LEXICAL_MODEL
from harness.text import printable

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta

BM25 = "mteb/baseline-bm25s"
_COMMIT = re.compile("[0-9a-f]{40}")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class OfficialModel:
    """A model as the official results repository files it.

    Attributes:
        meta: mteb's metadata with the name and revision of its folders, without an experiment.
        registered: Whether mteb implements the model.
        reference: The revision that mteb implements; None where it does not say or has none.
        files: The revision's folder in the local hub cache; None where it is not there.
    """

    meta: ModelMeta
    registered: bool
    reference: str | None = None
    files: Path | None = None


def official_model(experiment: Mapping[str, Any], model: Mapping[str, Any]) -> OfficialModel:
    """The official name, revision and metadata of a result's model.

    A mode without a model is an experiment on mteb's BM25 baseline.

    Args:
        experiment: The result's `experiment.json`.
        model: The configuration of the run's model.

    Raises:
        BadInputError: If the repository has no name or no revision for it, in one line.
    """
    name = experiment["model"]
    if name == LEXICAL_MODEL:
        baseline = _registered(BM25)
        assert baseline is not None
        return OfficialModel(baseline, registered=True, reference=baseline.revision)
    meta = _registered(name)
    reference = meta.revision if meta else None
    commit, files = _commit(name, experiment, model, reference)
    if meta is None:
        meta = model_meta(name, commit, {})
    meta = meta.model_copy(update={"revision": commit, "experiment_kwargs": None})
    return OfficialModel(meta, reference is not None, reference, files)


def _registered(name: str) -> ModelMeta | None:
    """Mteb's metadata of a model that it implements, else None."""
    try:
        return mteb.get_model_meta(name)
    except KeyError:
        return None


def _commit(
    name: str, experiment: Mapping[str, Any], model: Mapping[str, Any], reference: str | None
) -> tuple[str, Path | None]:
    """The commit of the hub that a model is at, and its folder in the local hub cache."""
    if not _HUB_NAME.fullmatch(name):
        raise BadInputError(f"{printable(name)} is no ORGANISATION/MODEL of the hub")
    snapshots = _snapshots(name)
    revision = experiment["revision"]
    if _COMMIT.fullmatch(revision):
        return revision, next((folder for folder in snapshots if folder.name == revision), None)
    content = experiment["settings"]["encoder"]["query"]["weights"]
    same = [folder for folder in snapshots if _content(folder, model) == content]
    if not same:
        raise BadInputError(
            f"{name} is known by the content of its weights, {content[:16]}, and the official "
            f"repository wants a commit of the hub; run with model=hf model.name={name} "
            f"model.revision={reference or 'COMMIT'}, or fetch that commit into the hub cache"
        )
    found = next((folder for folder in same if folder.name == reference), same[0])
    return found.name, found


def _snapshots(name: str) -> list[Path]:
    """The commits of a repository that the local hub cache has files of."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "snapshots"
    return sorted(path for path in folder.glob("*") if _COMMIT.fullmatch(path.name))


def _content(folder: Path, model: Mapping[str, Any]) -> str | None:
    """The content hash that a model would have from a folder; None where it cannot be told.

    Adapters, and a folder that is one, would be looked up on the hub.
    """
    config: ModelConfig = parse_component("model", dict(model), where="model")
    if config.adapters or (folder / ADAPTER_FILES[0]).exists():
        return None
    try:
        return EmbeddingModel(replace(config, path=str(folder), revision=None)).weights_hash
    except (BadInputError, OSError):
        return None
