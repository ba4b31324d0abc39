"""A model by its settings alone: what a plan needs of it, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.alignment.regularisation import STRENGTHS
from harness.config import (
    AutoHeadConfig,
    AutoPoolingConfig,
    MeanPoolingConfig,
    RidgeHeadConfig,
    innermost_head,
)
from harness.cost.flops import added_flops, closed_form_flops, shape_from_config
from harness.cost.machinery import Embedder
from harness.cost.shape import TransformerShape
from harness.embedding.adapters import ADAPTER_FILES, adapter_base
from harness.embedding.folder_settings import FolderSettings, read_folder_settings
from harness.embedding.locate import locate
from harness.errors import BadInputError
from harness.files import read_json

if TYPE_CHECKING:
    from harness.config import PoolingConfig
    from harness.config.plan import PlanConfig, ShapeConfig

JUDGED_DOCUMENTS, JUDGED_TERMS = 2048, 8
"""What `head=ridge` chooses its strength on."""
_LONGEST = 512  # tokens, where nothing says
_GENERATES = ("ForCausalLM", "LMHeadModel", "ForMaskedLM")
_REMEDY = "model.path=FOLDER, shape=mistral_7b or shape=custom"


@dataclass(frozen=True)
class PlannedModel:
    """What a plan needs of a model.

    Attributes:
        name: Its name.
        shape: The transformer's shape.
        embedder: The same as FLOPs and sizes.
        max_length: Tokens after which a text is cut.
        copies: How often a text stands in its prompt.
    """

    name: str
    shape: TransformerShape
    embedder: Embedder
    max_length: int
    copies: int


def planned_model(config: PlanConfig) -> PlannedModel:
    """The model of a plan: the given shape, or that of the configured model's `config.json`.

    Of a model on the hub no weights are fetched.

    Raises:
        BadInputError: If there is no such model, or its architecture is unknown.
    """
    if config.shape.given:
        pooling = _pooling(config, FolderSettings())
        given = _shape(config.shape)
        return PlannedModel(
            name=config.shape.name or "custom",
            shape=given,
            embedder=_embedder(config, given, pooling, FolderSettings(), fitted=False),
            max_length=config.shape.max_length or _LONGEST,
            copies=pooling.copies,
        )
    root = _root(config)
    published = read_folder_settings(root)
    folder = _with_settings(root / published.transformer)
    settings = read_json(folder / "config.json")
    shape = shape_from_config(settings)
    if shape is None:
        raise BadInputError(
            f"the shape of {folder} is not known: {settings.get('model_type')!r} is no "
            "architecture with a closed form; take shape=custom with layers, width and so on"
        )
    pooling = _pooling(config, published)
    embedder = _embedder(
        config,
        shape,
        pooling,
        published,
        fitted=_is_fitted(config, settings, pooling),
        dense=[_dense(root / layer) for layer in published.dense],
    )
    return PlannedModel(
        name=config.model.name or f"local/{root.resolve().name}",
        shape=shape,
        embedder=embedder,
        max_length=_max_length(config, published, settings),
        copies=pooling.copies,
    )


def _root(config: PlanConfig) -> Path:
    model = config.model
    if model.path:
        return locate(model.path, setting="model.path", patterns=(), remedy=_REMEDY)
    pinned = f"@{model.revision}" if model.revision else ""
    reference = f"hub://{model.name}{pinned}"
    return locate(reference, setting="model.name", patterns=(), remedy=_REMEDY)


def _with_settings(folder: Path) -> Path:
    """The folder with the backbone's `config.json`; of an adapter alone, its base model's."""
    if (folder / "config.json").is_file():
        return folder
    if not (folder / ADAPTER_FILES[0]).is_file():
        raise BadInputError(f"model.path={folder} holds no config.json; give {_REMEDY}")
    base = locate(
        adapter_base(folder), setting=f"the base model of {folder}", patterns=(), remedy=_REMEDY
    )
    if not (base / "config.json").is_file():
        raise BadInputError(f"the base model {base} of {folder} holds no config.json")
    return base


def _pooling(config: PlanConfig, published: FolderSettings) -> PoolingConfig:
    if isinstance(config.pooling, AutoPoolingConfig):
        return published.pooling or MeanPoolingConfig()
    pooling: PoolingConfig = config.pooling
    return pooling


def _is_fitted(config: PlanConfig, settings: dict[str, Any], pooling: PoolingConfig) -> bool:
    """Whether the head is `ridge`; `auto` stands for it where the model generates nothing."""
    head = innermost_head(config.head)
    if not isinstance(head, AutoHeadConfig):
        return isinstance(head, RidgeHeadConfig)
    named = [str(name) for name in settings.get("architectures") or ()]
    return pooling.reads != "logits" and not any(name.endswith(_GENERATES) for name in named)


def _max_length(config: PlanConfig, published: FolderSettings, settings: dict[str, Any]) -> int:
    if config.model.max_length is not None:
        return int(config.model.max_length)
    text = settings.get("text_config") or settings
    positions = text.get("max_position_embeddings") or text.get("n_positions")
    limits = [limit for limit in (published.max_length, positions) if isinstance(limit, int)]
    return min((limit for limit in limits if limit > 0), default=_LONGEST)


def _dense(folder: Path) -> tuple[int, int]:
    """(out, in) of a dense layer."""
    settings = read_json(folder / "config.json")
    out, inner = settings.get("out_features"), settings.get("in_features")
    if not isinstance(out, int) or not isinstance(inner, int):
        raise BadInputError(f"{folder / 'config.json'} names no in_features and out_features")
    return out, inner


def _embedder(
    config: PlanConfig,
    shape: TransformerShape,
    pooling: PoolingConfig,
    published: FolderSettings,
    *,
    fitted: bool,
    dense: list[tuple[int, int]] | None = None,
) -> Embedder:
    logits = pooling.reads == "logits"
    width = shape.vocabulary_size if logits else shape.embedding_width
    if dense:
        width = dense[-1][0]
    similarity = config.dense.similarity
    if similarity == "auto":
        similarity = config.model.similarity or published.similarity or "cosine"
    head = innermost_head(config.head)
    chosen = fitted and isinstance(getattr(head, "regularisation", "self_retrieval"), str)
    normalised = published.normalize if config.model.normalize is None else config.model.normalize
    return Embedder(
        forward=closed_form_flops(shape, logits=logits) + added_flops(dense_layers=dense or ()),
        width=width,
        vocabulary=shape.vocabulary_size,
        normalised=similarity == "cosine" or bool(normalised),
        fitted=fitted,
        strengths=len(STRENGTHS) if chosen else 0,
        judged=JUDGED_DOCUMENTS,
        judged_terms=JUDGED_TERMS,
        length_variation=config.length_variation,
    )


def _shape(given: ShapeConfig) -> TransformerShape:
    assert given.layers is not None
    assert given.width is not None
    assert given.heads is not None
    assert given.intermediate is not None
    assert given.vocabulary is not None
    return TransformerShape(
        layers=given.layers,
        width=given.width,
        attention_heads=given.heads,
        key_value_heads=given.key_value_heads or given.heads,
        head_width=given.head_width or given.width // given.heads,
        feed_forward_width=given.intermediate,
        gated=given.gated,
        vocabulary_size=given.vocabulary,
        embedding_width=given.width,
    )
