"""Linear layers whose weights are laid out once as oneDNN multiplies them, on x86 CPUs.

torch's own layer lays its weight out anew for every product in bfloat16, and writes what a product
gives to memory before the activation reads it again. Here the layout is made at loading, and bias
and activation are applied while the product is in the cache. The operators are those that
torch.compile's freezing emits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINT = 2048  # rows that the layout is made for; others are multiplied as well

# transformers' classes of activations, and oneDNN's names of the same.
_KERNELS = {
    "ReLU": ("relu", ""),
    "SiLU": ("swish", ""),
    "SiLUActivation": ("swish", ""),
    "GELUActivation": ("gelu", "none"),
    "GELUTanh": ("gelu", "tanh"),
    "NewGELUActivation": ("gelu", "tanh"),
}


class PrepackedLinear(nn.Module):
    """A linear layer, and the activation that follows it if any."""

    def __init__(self, linear: nn.Linear, activation: tuple[str, str] = ("none", "")) -> None:
        """Take over a layer's weights.

        Args:
            linear: The layer; its weight is copied into oneDNN's layout, its bias as it is.
            activation: oneDNN's name of what is applied to the product, and its variant.
        """
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _HINT)
        self._bias = None if linear.bias is None else linear.bias.detach().clone()
        self._activation = activation

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The activation of states (…, in) times the weight, plus the bias: (…, out)."""
        name, variant = self._activation
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self._weight, self._bias, name, [], variant
        )
        return product


def can_prepack(dtype: str) -> bool:
    """Whether this CPU and this torch have the operators in a dtype, and gain by them."""
    if not torch._C._has_mkldnn or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if dtype == "bfloat16":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == "float32"


def prepack(network: nn.Module) -> None:
    """Replace a transformer's linear layers by prepacked ones, in place.

    An activation that alone reads a layer's product goes into the layer.

    Args:
        network: In evaluation mode on the CPU; of an architecture in `PACKABLE_TYPES`, whose code
            never looks at a linear layer's weight.
    """
    # A list of all modules would keep every weight until the last one is laid out.
    for module in [each for each in network.modules() if type(each) is not nn.Linear]:
        fused = dict(_fusible(module))
        for name, child in list(module.named_children()):
            if type(child) is not nn.Linear:  # a subclass computes something else
                continue
            if name in fused:
                activation, kernel = fused[name]
                setattr(module, name, PrepackedLinear(child, kernel))
                setattr(module, activation, nn.Identity())
            else:
                setattr(module, name, PrepackedLinear(child))
    # What is left may be a view of the mapped weights file, which would stay in memory with it.
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()


def _fusible(module: nn.Module) -> Iterator[tuple[str, tuple[str, tuple[str, str]]]]:
    """Linear layers of a module whose product nothing but an activation reads.

    Yields:
        The layer's name, the activation's name, and oneDNN's names for it.
    """
    kind = type(module).__name__
    pairs = []
    if kind.endswith("Intermediate"):
        pairs = [("dense", "intermediate_act_fn")]
    elif kind.endswith("MLP"):
        pairs = [("gate_proj", "act_fn")]
    for linear, activation in pairs:
        kernel = _kernel_of(getattr(module, activation, None))
        if kernel is not None and type(getattr(module, linear, None)) is nn.Linear:
            yield linear, (activation, kernel)


def _kernel_of(activation: Any) -> tuple[str, str] | None:
    """The names in oneDNN of an activation of transformers, None where it has none."""
    return _KERNELS.get(type(activation).__name__)
