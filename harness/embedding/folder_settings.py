"""What a sentence-transformers folder says of its model: pooling, prompts, what follows pooling."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.components import ComponentConfig
from harness.config import (
    AutoInstructionConfig,
    AutoPoolingConfig,
    ClsPoolingConfig,
    InstructionConfig,
    LastTokenPoolingConfig,
    MaxPoolingConfig,
    MeanPoolingConfig,
    PoolingConfig,
    SpladePoolingConfig,
    WeightedMeanPoolingConfig,
    parse,
)
from harness.errors import BadInputError
from harness.files import read_json

if TYPE_CHECKING:
    from harness.embedding.model import EmbeddingModel

_POOLINGS: dict[str, type[PoolingConfig]] = {
    "mean": MeanPoolingConfig,
    "weightedmean": WeightedMeanPoolingConfig,
    "cls": ClsPoolingConfig,
    "lasttoken": LastTokenPoolingConfig,
    "max": MaxPoolingConfig,
}
_OLDER_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_SIMILARITIES = {"dot_product": "dot"}
_TRANSFORMERS = ("Transformer", "MLMTransformer")
_POOLINGS_BY_NAME = ("Pooling", "SpladePooling")
_WITHOUT_EFFECT = ("Dropout",)
_ORDER = (_TRANSFORMERS, _POOLINGS_BY_NAME, ("Dense",), ("Normalize",))
_PUBLISHER = "sentence_transformers."
_NOT_HONOURED = ("query_length", "document_length", "query_expansion", "processing_kwargs")
_LIMITS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """A folder's own conventions; the defaults are those of a folder without `modules.json`.

    Attributes:
        transformer: The subfolder with weights and tokenizer.
        pooling: The pooling, None when the folder names none.
        dense: Subfolders of dense layers that follow the pooling, in order.
        normalize: Whether the embedding is L2-normalised last.
        similarity: How embeddings are compared.
        query: What stands before a query.
        document: What stands before a document.
        symmetric: What stands before any text when no side is given.
        max_length: Longest input in tokens, None when the folder gives none.
        lower_case: Whether texts are lower-cased.
    """

    transformer: str = ""
    pooling: PoolingConfig | None = None
    dense: tuple[str, ...] = ()
    normalize: bool = False
    similarity: str = "cosine"
    query: str = ""
    document: str = ""
    symmetric: str = ""
    max_length: int | None = None
    lower_case: bool = False


def read_folder_settings(root: Path) -> FolderSettings:
    """Read `modules.json` and the files that it points to.

    Raises:
        BadInputError: If one is malformed, leaves the folder, or asks for modules that are not
            known, or for known ones in another order or wiring than transformer, pooling, dense
            layers, normalisation.
    """
    if not (root / "modules.json").is_file():
        return FolderSettings()
    found: dict[str, Any] = {"dense": (), **_prompts(root)}
    stage = -1
    for kind, path in _modules(root):
        if kind in _WITHOUT_EFFECT:
            continue
        place = next((n for n, kinds in enumerate(_ORDER) if kind in kinds), None)
        if place is None:
            raise BadInputError(
                f"{root / 'modules.json'} asks for {kind}, which is not supported; take the model "
                "without it: remove modules.json and choose pooling=..."
            )
        if place < stage or (place == stage and kind != "Dense") or place > stage + 1 < 2:
            raise BadInputError(
                f"{root / 'modules.json'} has {kind} out of place; only transformer, pooling, "
                "dense layers, normalisation are supported, in this order: remove modules.json "
                "and choose pooling=..."
            )
        stage = place
        if kind in _TRANSFORMERS:
            found |= {"transformer": path, **_limits(root / path)}
        elif kind == "Pooling":
            found["pooling"] = _pooling(read_json(root / path / "config.json"), root)
        elif kind == "SpladePooling":
            found["pooling"] = _splade(read_json(root / path / "config.json"), root)
            found["similarity"] = found["similarity"] or "dot"  # a SparseEncoder's own
        else:
            _refuse_wiring(root / path / "config.json")
            if kind == "Dense":
                found["dense"] += (path,)
            else:
                found["normalize"] = True
    if stage < 0:
        raise BadInputError(f"{root / 'modules.json'} names no Transformer; fetch the model again")
    found["similarity"] = found["similarity"] or "cosine"
    return FolderSettings(**found)


def pooling_of(config: ComponentConfig, model: EmbeddingModel) -> PoolingConfig:
    """The pooling that `auto` stands for; any other one as it is."""
    if isinstance(config, AutoPoolingConfig):
        return model.published.pooling or MeanPoolingConfig()
    assert isinstance(config, PoolingConfig)
    return config


def instruction_of(config: ComponentConfig, model: EmbeddingModel) -> InstructionConfig:
    """The templates that `auto` stands for; any other ones as they are."""
    if isinstance(config, AutoInstructionConfig):
        settings = model.published
        prompts = {side: getattr(settings, side) for side in ("query", "document", "symmetric")}
        if any("{text}" in prompt or "{instruction}" in prompt for prompt in prompts.values()):
            raise BadInputError(
                f"the prompts of {model.root} hold {{text}} or {{instruction}}; choose "
                "instruction=..."
            )
        templates = {side: f"{prompts[side]}{{text}}" for side in prompts}
        return parse(InstructionConfig, templates, where=f"prompts of {model.root}")
    assert isinstance(config, InstructionConfig)
    return config


def _modules(root: Path) -> list[tuple[str, str]]:
    """(class name, subfolder) of each module, in order."""
    path = root / "modules.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        modules = [(str(entry["type"]), str(entry["path"])) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadInputError(f"{path} is no list of modules; fetch the model again") from error
    for kind, folder in modules:
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise BadInputError(f"{path} names {folder!r}, which is outside the model's folder")
        if not kind.startswith(_PUBLISHER):
            raise BadInputError(
                f"{path} asks for {kind}, code of its own, which is never run; remove modules.json "
                "and choose pooling=..."
            )
    return [(kind.rpartition(".")[2], folder) for kind, folder in modules]


def _refuse_wiring(path: Path) -> None:
    """Refuse a module that reads or writes something else than the embedding."""
    settings = read_json(path) if path.is_file() else {}
    names = (settings.get("module_input_name"), settings.get("module_output_name"))
    if any(name not in (None, "sentence_embedding") for name in names):
        raise BadInputError(
            f"{path} reads or writes {names[0]!r} and {names[1]!r}; only modules on the embedding "
            "are supported"
        )


def _limits(folder: Path) -> dict[str, Any]:
    path = next((folder / name for name in _LIMITS if (folder / name).is_file()), None)
    settings = read_json(path) if path is not None else {}
    unknown = [key for key in _NOT_HONOURED if settings.get(key)]
    if unknown:
        raise BadInputError(
            f"{path} sets {unknown[0]}={settings[unknown[0]]!r}, which is not supported; remove it"
        )
    length = settings.get("max_seq_length")
    for key in ("processor_kwargs", "tokenizer_args"):  # newer and older files
        options = settings.get(key)
        if length is None and isinstance(options, dict):
            length = options.get("model_max_length")
    if length is not None and (type(length) is not int or length < 1):
        raise BadInputError(f"{path}: the longest input {length!r} is no number of tokens")
    return {"max_length": length, "lower_case": bool(settings.get("do_lower_case", False))}


def _pooling(settings: dict[str, Any], root: Path) -> PoolingConfig:
    modes = settings.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _OLDER_KEYS.items() if settings.get(key)] or ["mean"]
    if isinstance(modes, list) and len(modes) == 1:
        modes = modes[0]
    if not isinstance(modes, str) or modes not in _POOLINGS:
        raise BadInputError(
            f"{root} pools by {modes!r}, which is not supported; choose pooling=..."
        )
    pooled = {"include_instruction": bool(settings.get("include_prompt", True))}
    return parse(_POOLINGS[modes], pooled, where="pooling")


def _splade(settings: dict[str, Any], root: Path) -> PoolingConfig:
    strategy = settings.get("pooling_strategy", "max")
    activation = settings.get("activation_function", "relu")
    if (strategy, activation) != ("max", "relu"):
        raise BadInputError(
            f"{root} pools SPLADE weights by {strategy} of {activation}; only max of relu is "
            "supported"
        )
    return SpladePoolingConfig()


def _prompts(root: Path) -> dict[str, Any]:
    path = root / "config_sentence_transformers.json"
    settings = read_json(path) if path.is_file() else {}
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(
        prompt is None or isinstance(prompt, str) for prompt in prompts.values()
    ):
        raise BadInputError(f"{path}: prompts must map names to texts")
    default = settings.get("default_prompt_name")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise BadInputError(f"{path}: default_prompt_name={default!r} is none of its prompts")
    similarity = settings.get("similarity_fn_name")
    if similarity is not None and not isinstance(similarity, str):
        raise BadInputError(f"{path}: similarity_fn_name={similarity!r} is no name")
    # A side without a prompt of its own has none; the default one is that of texts without a side.
    # sentence-transformers writes an empty `document` beside an older name, which is the one meant.
    document = next(
        (prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), ""
    )
    return {
        "query": prompts.get("query") or "",
        "document": document,
        "symmetric": (prompts[default] if default is not None else None) or "",
        # None leaves it to the modules.
        "similarity": _SIMILARITIES.get(similarity or "", similarity),
    }
