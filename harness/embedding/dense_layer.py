"""Dense layers between pooling and the embedding, as sentence-transformers folders have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError, brief
from harness.files import read_json

_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
_ROWS = 16_384


@dataclass(frozen=True)
class DenseLayer:
    """`activation(x @ weight.T + bias)`.

    Attributes:
        weight: float32 (out, in).
        bias: float32 (out,), or None.
        activation: A class of `torch.nn`.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: str


def apply_dense(layers: Sequence[DenseLayer], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (n, in) through all layers: float32 (n, out).

    Raises:
        BadInputError: If a layer is made for another width.
    """
    import torch

    if not layers or not len(vectors):
        return vectors
    width = vectors.shape[1]
    for layer in layers:
        if layer.weight.shape[1] != width:
            raise BadInputError(
                f"a dense layer after the pooling takes {layer.weight.shape[1]} numbers and is "
                f"given {width}; fetch the model again"
            )
        width = len(layer.weight)
    parameters = [
        (
            torch.from_numpy(layer.weight),
            None if layer.bias is None else torch.from_numpy(layer.bias),
            getattr(torch.nn, layer.activation)(),
        )
        for layer in layers
    ]
    result = np.empty((len(vectors), len(layers[-1].weight)), np.float32)
    with torch.inference_mode():
        for start in range(0, len(vectors), _ROWS):
            block = torch.from_numpy(np.array(vectors[start : start + _ROWS]))
            for weight, bias, activation in parameters:
                block = activation(torch.nn.functional.linear(block, weight, bias))
            result[start : start + _ROWS] = block.numpy()
    return result


def read_dense(folder: Path) -> DenseLayer:
    """A dense layer from its subfolder.

    Raises:
        BadInputError: If it is malformed or does what is not supported.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    settings = read_json(folder / "config.json")
    # The class's own default is Tanh.
    activation = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rpartition(".")[2]
    if not activation.startswith("torch.nn.") or name not in _ACTIVATIONS:
        raise BadInputError(
            f"{folder}: activation {activation!r} is not supported; known are "
            f"{', '.join(_ACTIVATIONS)}"
        )
    if settings.get("use_residual") or (
        settings.get("module_input_name", "sentence_embedding") != "sentence_embedding"
    ):
        raise BadInputError(f"{folder}: only a plain dense layer on the embedding is supported")
    try:
        tensors = load_file(folder / "model.safetensors")
        weight = tensors["linear.weight"].float().numpy()
        bias = tensors["linear.bias"].float().numpy() if "linear.bias" in tensors else None
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise BadInputError(
            f"{folder / 'model.safetensors'} holds no dense layer ({brief(error)}); convert "
            "pickle weights to safetensors"
        ) from error
    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        raise BadInputError(f"{folder / 'model.safetensors'} holds no dense layer of sound shape")
    return DenseLayer(weight, bias, name)
