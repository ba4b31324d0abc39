"""Token states to one embedding a text, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from harness.config import EchoPoolingConfig, PoolingConfig


class Pooling(Protocol):
    """Reduces token states to embeddings."""

    config: PoolingConfig

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


class MaxPooling:
    """The largest value of each dimension over the pooled tokens' states."""

    def __init__(self, config: PoolingConfig) -> None:
        self.config = config

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """See `Pooling`."""
        return _largest(states.float(), pooled)


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


class EchoPooling:
    """The second copy of the text and what follows it, by one of the other poolings."""

    def __init__(self, config: EchoPoolingConfig) -> None:
        self.config = config
        by_name: dict[str, Callable[[PoolingConfig], Pooling]] = {
            "mean": MeanPooling,
            "weighted_mean": WeightedMeanPooling,
            "last_token": LastTokenPooling,
        }
        self._pool = by_name[config.of](config)

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """See `Pooling`."""
        return self._pool(states, pooled)


class SpladePooling:
    """log(1 + relu) of logits, the largest over the pooled tokens (SPLADE, arXiv 2109.10086)."""

    def __init__(self, config: PoolingConfig) -> None:
        self.config = config

    def __call__(self, states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
        """Pool logits (batch, length, V) to token weights, float32 (batch, V); see `Pooling`."""
        # The logarithm grows with its argument, so it is taken once, of the largest.
        return _largest(states.float(), pooled).relu_().log1p_()


def _largest(states: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    """The largest value of each column over pooled tokens; zeros where nothing is pooled."""
    largest = states.masked_fill(~pooled.unsqueeze(-1), float("-inf")).amax(dim=1)
    return largest.masked_fill(~pooled.any(dim=1, keepdim=True), 0.0)


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
