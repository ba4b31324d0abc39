"""Token states to one embedding a text, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from harness.config import PoolingConfig


class Pooling(Protocol):
    """Reduces token states to embeddings."""

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Pool.

        Args:
            states: (batch, length, d), any float dtype.
            pooled: bool (batch, length): which tokens count; padding never does. A text without
                any pools to zeros.

        Returns:
            float32 (batch, d).
        """
        ...


class MeanPooling:
    """The mean of the pooled tokens' states."""

    def __init__(self, config: PoolingConfig) -> None:
        self.config = config

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """See `Pooling`."""
        return _weighted(states, pooled, pooled.float())


class WeightedMeanPooling:
    """The mean weighted by position among the pooled tokens: 1, 2, 3, … (SGPT)."""

    def __init__(self, config: PoolingConfig) -> None:
        self.config = config

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """See `Pooling`."""
        return _weighted(states, pooled, pooled.cumsum(dim=1) * pooled.float())


class LastTokenPooling:
    """The state of the last pooled token."""

    def __init__(self, config: PoolingConfig) -> None:
        self.config = config

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """See `Pooling`."""
        length = pooled.shape[1]
        return _one(states, pooled, length - 1 - pooled.flip(1).int().argmax(dim=1))


class ClsPooling:
    """The state of the first pooled token."""

    def __init__(self, config: PoolingConfig) -> None:
        self.config = config

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """See `Pooling`."""
        return _one(states, pooled, pooled.int().argmax(dim=1))


def _weighted(states: torch.Tensor, pooled: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean; weights float32 (batch, length), zero where a token is not pooled."""
    # Not multiplied by 0: what an unpooled token holds may be infinite.
    counted = states.float().masked_fill(~pooled.unsqueeze(-1), 0.0)
    total = counted.mul_(weights.unsqueeze(-1)).sum(dim=1)
    return total / weights.sum(dim=1, keepdim=True).clamp(min=1e-9)


def _one(states: torch.Tensor, pooled: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """The state at one position a text; zeros where nothing is pooled."""
    index = position.view(-1, 1, 1).expand(-1, 1, states.shape[2])
    chosen = states.gather(1, index).squeeze(1).float()
    return chosen.masked_fill(~pooled.any(dim=1, keepdim=True), 0.0)
