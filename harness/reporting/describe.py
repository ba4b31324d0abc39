"""The settings behind a result in words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.config import identity, parse_component
from harness.errors import BadInputError

# A setting without words of its own is shown by its name, so that a new mode needs nothing here.
_WORDS = {
    "similarity": "{}",
    "doc_top_k": "K = {}",
    "query_expansion": "M = {}",
    "query_weight": "{} query weights",
    "doc_weight": "{} document weights",
    "doc_norm": "{} document norm",
    "modes": "{}",
    "fusion": "{} fusion",
    "k1": "k1 = {}",
    "b": "b = {}",
    "regularisation": "λ = {}",
}
# These decide what a mode is, and are shown even where they have their default.
_ALWAYS = frozenset(
    (
        *("similarity", "doc_top_k", "query_expansion", "query_weight"),
        *("modes", "fusion", "k1", "b"),
    )
)
_NEVER = frozenset(("kind", "version", "weights_hash"))
_LONGEST_TEMPLATE = 40


def describe(settings: Mapping[str, Any]) -> str:
    """The key settings of an experiment: those that name it, and those that are not the default.

    Args:
        settings: The settings of a stored experiment.
    """
    parts = _component("retrieval", settings["mode"])
    if settings.get("head"):
        parts += _head(settings["head"])
    if settings.get("encoder"):
        parts += _encoder(settings["encoder"])
    return ", ".join(parts)


def describe_model(encoder: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """How texts become embeddings, and what reads them.

    Args:
        encoder: The spaces of queries and documents.
        head: The head's identity.
    """
    return ", ".join([*_encoder(encoder), *_head(head)])


def _head(head: Mapping[str, Any]) -> list[str]:
    # A head's matrix is a hash of its content, not a setting that a person gave.
    nested = ("weights", "of", "transform")
    given = {name: value for name, value in head.items() if name not in nested}
    kind = str(head["kind"])
    parts = [kind if kind.endswith("head") else f"{kind} head", *_component("head", given)]
    if transform := head.get("transform"):
        given = {name: value for name, value in transform.items() if value is not None}
        parts += [f"{transform['kind']} transform", *_component("transform", given)]
    if inner := head.get("of"):
        first, *rest = _head(inner)
        parts = [f"{parts[0]} of {first}", *parts[1:], *rest]
    return parts


def _encoder(encoder: Mapping[str, Any]) -> list[str]:
    document = encoder["document"]
    parts = [f"{document['pooling']['kind']} pooling"]
    parts += _component("pooling", document["pooling"])
    parts += [f"≤{document['max_length']} tokens"]
    parts += [
        f"{side} “{template}”"
        for side in ("query", "document")
        if (template := _template(encoder[side]["instruction"]))
    ]
    if document.get("attention"):
        parts.append(f"{document['attention']} attention")
    if document["dtype"] != "float32":
        parts.append(document["dtype"])
    return parts


def _component(group: str, given: Mapping[str, Any]) -> list[str]:
    defaults = _defaults(group, str(given["kind"]))
    return [
        _setting(name, value, given)
        for name, value in given.items()
        if name not in _NEVER
        and (name in _ALWAYS or name not in defaults or value != defaults[name])
    ]


@cache
def _defaults(group: str, kind: str) -> Mapping[str, Any]:
    try:
        return identity(parse_component(group, {"kind": kind}, where=group))
    except BadInputError:  # a kind that this version does not know
        return {}


def _setting(name: str, value: Any, given: Mapping[str, Any]) -> str:
    # With `score` the model weighs the query's own tokens, so it runs.
    if name == "query_expansion" and value == 0 and given.get("query_weight") != "score":
        return "M = 0 (inference-free)"
    if name == "include_instruction":
        return "instruction pooled" if value else "instruction left out"
    readable = name.replace("_", " ")
    if value is None or value is False:
        return f"no {readable}"
    if value is True:
        return readable
    return _WORDS.get(name, f"{readable} {{}}").format(_value(value))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " + ".join(_value(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _template(instruction: Mapping[str, Any] | list[str]) -> str:
    # Older results hold the pieces alone.
    pieces = instruction["pieces"] if isinstance(instruction, Mapping) else instruction
    if not any(pieces):
        return ""
    whole = "…".join(pieces).replace("\n", "⏎")
    return whole if len(whole) <= _LONGEST_TEMPLATE else f"{whole[: _LONGEST_TEMPLATE - 1]}…"
