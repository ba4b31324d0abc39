"""An encoder's masked-language-model head, read from its weights alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.alignment.linear import TiedHead
from harness.cost.flops import head_flops
from harness.embedding.tensors import find_tensor
from harness.errors import BadInputError
from harness.files import read_json

if TYPE_CHECKING:
    from pathlib import Path

    import torch


@dataclass(frozen=True)
class _Names:
    """Under which names a family of encoders keeps its head.

    Attributes:
        dense: Weight (and, with another ending, bias) of the transform's dense layer.
        norm: Weight of the transform's normalisation.
        decoder: The output matrix; the first of these that is there. The rest are the word
            embeddings that it may be tied to.
        bias: The output bias.
        activation: The key of `config.json` that names the transform's activation.
    """

    dense: str
    norm: str
    decoder: tuple[str, ...]
    bias: tuple[str, ...]
    activation: str = "hidden_act"


_BERT = _Names(
    dense="cls.predictions.transform.dense.weight",
    norm="cls.predictions.transform.LayerNorm.weight",
    decoder=("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
    bias=("cls.predictions.decoder.bias", "cls.predictions.bias"),
)


def _roberta(prefix: str) -> _Names:
    return _Names(
        dense="lm_head.dense.weight",
        norm="lm_head.layer_norm.weight",
        decoder=("lm_head.decoder.weight", f"{prefix}.embeddings.word_embeddings.weight"),
        bias=("lm_head.decoder.bias", "lm_head.bias"),
        activation="",  # always the exact GELU
    )


_FAMILIES = {
    "bert": _BERT,
    "roberta": _roberta("roberta"),
    "xlm-roberta": _roberta("roberta"),
    "camembert": _roberta("roberta"),
    "mpnet": _roberta("mpnet"),
    "distilbert": _Names(
        dense="vocab_transform.weight",
        norm="vocab_layer_norm.weight",
        decoder=("vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"),
        bias=("vocab_projector.bias",),
        activation="activation",
    ),
    "modernbert": _Names(
        dense="head.dense.weight",
        norm="head.norm.weight",
        decoder=("decoder.weight", "model.embeddings.tok_embeddings.weight"),
        bias=("decoder.bias",),
        activation="classifier_activation",
    ),
}


class MlmHead(TiedHead):
    """logits = E·norm(act(W·h + b)) + c: the head that predicts masked tokens.

    The transform is `project`, E the matrix, c the bias.
    """

    @cached_property
    def bias(self) -> NDArray[np.float32] | None:
        """float32 (V,)."""
        place = find_tensor(self._source, self._family.bias)
        return None if place is None else place.read()

    @property
    def flops_per_text(self) -> float:
        """See `Head`: 2·d·V, and 2·d² of the transform."""
        width = self._place.shape[1]
        return super().flops_per_text + float(head_flops(width, width))

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The transform of embeddings (n, d): float32 (n, d)."""
        import torch

        with torch.inference_mode():
            vectors = torch.from_numpy(np.array(super().project(embeddings)))
            projected: NDArray[np.float32] = self._transform(vectors).numpy()
            return projected

    @cached_property
    def _transform(self) -> torch.nn.Module:
        import torch
        from transformers.activations import get_activation

        names = self._family
        weight, dense_bias = self._tensor(names.dense), self._bias_of(names.dense)
        scale, shift = self._tensor(names.norm), self._bias_of(names.norm)
        dense = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=dense_bias is not None)
        norm = torch.nn.LayerNorm(len(scale), eps=self._epsilon, bias=shift is not None)
        dense.weight.data, norm.weight.data = torch.from_numpy(weight), torch.from_numpy(scale)
        if dense_bias is not None:
            dense.bias.data = torch.from_numpy(dense_bias)
        if shift is not None:
            norm.bias.data = torch.from_numpy(shift)
        automatic: Any = get_activation  # untyped in transformers
        activation = automatic(self._activation)
        return torch.nn.Sequential(dense, activation, norm).eval()

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        return read_json(self._source / "config.json")

    @cached_property
    def _family(self) -> _Names:
        return _family_in(self._source)

    @cached_property
    def _fingerprint(self) -> str:
        places = [find_tensor(self._source, names) for names in self._tensors(self._source)]
        digests = [None if place is None else place.fingerprint for place in places]
        parts = json.dumps([digests, self._activation, self._epsilon])
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def _activation(self) -> str:
        return str(self._settings.get(self._family.activation, "gelu"))

    @property
    def _epsilon(self) -> float:
        settings = self._settings
        if settings.get("model_type") == "distilbert":
            return 1e-12
        return float(settings.get("layer_norm_eps", settings.get("norm_eps", 1e-12)))

    def _tensors(self, folder: Path) -> Sequence[Sequence[str]]:
        names = _family_in(folder)
        transform = [names.dense, _bias(names.dense), names.norm, _bias(names.norm)]
        return [*(_older(name) for name in transform), names.decoder, names.bias]

    def _names(self, folder: Path) -> tuple[str, ...]:
        # Word embeddings alone are no head: without its transform it would be a random one.
        names = _family_in(folder)
        if find_tensor(folder, (names.dense,)) is None:
            raise BadInputError(self._absent())
        return names.decoder

    def _tensor(self, name: str) -> NDArray[np.float32]:
        place = find_tensor(self._source, _older(name))
        if place is None:
            raise BadInputError(self._absent())
        return place.read()

    def _bias_of(self, name: str) -> NDArray[np.float32] | None:
        place = find_tensor(self._source, _older(_bias(name)))
        return None if place is None else place.read()

    def _absent(self) -> str:
        return (
            f"head=mlm: {self._source} holds no masked-language-model head; give "
            "head.path=BACKBONE, or use head=tied or head=ridge"
        )


def _family_in(folder: Path) -> _Names:
    kind = str(read_json(folder / "config.json").get("model_type"))
    if kind not in _FAMILIES:
        raise BadInputError(
            f"head=mlm knows {', '.join(_FAMILIES)}, not {kind}; use head=tied or head=ridge"
        )
    return _FAMILIES[kind]


def _bias(weight: str) -> str:
    return f"{weight.removesuffix('weight')}bias"


def _older(name: str) -> tuple[str, str]:
    """A tensor's name, and the one that files from TensorFlow times give it."""
    older = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name, older.replace("LayerNorm.bias", "LayerNorm.beta")


def has_mlm_head(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a model's folder holds a masked-language-model head that `MlmHead` can read."""
    names = _FAMILIES.get(str(settings.get("model_type")))
    return names is not None and find_tensor(folder, (names.dense,)) is not None
