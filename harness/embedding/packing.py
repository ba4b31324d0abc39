"""Texts one after the other in one row of tokens, without padding, and attention within each.

Everything in a transformer but attention works token by token, so it needs no padding. Attention
runs once for each run of texts of equal length, which needs neither padding nor a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.families import PACKABLE_TYPES

if TYPE_CHECKING:
    import torch

KERNEL = "harness_packed"  # the name under which transformers finds `packed_attention`

_WIDEST_HEAD = 256  # of CUDA's kernel for texts of different lengths
_WINDOWS = {"mistral": 4096}  # what transformers takes where config.json says nothing


@dataclass(frozen=True)
class Run:
    """Texts of equal length that stand one after the other.

    Attributes:
        start: Place of the first one's first token.
        texts: How many they are.
        length: Tokens of each.
    """

    start: int
    texts: int
    length: int

    @property
    def stop(self) -> int:
        """One past the last one's last token."""
        return self.start + self.texts * self.length


class Packing:
    """Where each text of a batch stands among its tokens.

    Attributes:
        lengths: Tokens of each text, int64 (n,), each at least 1.
    """

    def __init__(self, lengths: NDArray[np.int64]) -> None:
        self.lengths = lengths

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return int(self.lengths.sum())

    @cached_property
    def runs(self) -> list[Run]:
        """The batch as runs of texts of equal length, in order."""
        changes = np.flatnonzero(np.diff(self.lengths)) + 1
        first = np.concatenate([np.zeros(1, np.int64), changes])
        counts = np.diff(np.concatenate([first, [len(self.lengths)]]))
        starts = self.offsets[first]
        return [
            Run(int(start), int(count), int(self.lengths[row]))
            for start, count, row in zip(starts, counts, first, strict=True)
        ]

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each text begins, and one past the last one's end: int64 (n + 1,)."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    @property
    def positions(self) -> NDArray[np.int64]:
        """Each token's place in its own text, from 0: int64 (tokens,)."""
        return np.arange(self.tokens) - np.repeat(self.offsets[:-1], self.lengths)

    def split(self, tokens: torch.Tensor) -> Iterator[torch.Tensor]:
        """Views of token-wise values (tokens, …) as (texts, length, …), run by run."""
        for run in self.runs:
            part = tokens[run.start : run.stop]
            yield part.view(run.texts, run.length, *part.shape[1:])

    def boundaries(self, device: torch.device) -> torch.Tensor:
        """`offsets` as int32 on a device, moved there once."""
        import torch

        if self._boundaries is None:
            self._boundaries = torch.from_numpy(self.offsets.astype(np.int32)).to(device)
        return self._boundaries

    _boundaries: torch.Tensor | None = None


def is_packable(text_settings: Mapping[str, Any], longest: Callable[[], int]) -> bool:
    """Whether a model's forward pass over packed texts equals that over padded ones.

    Its attention must go through transformers' interface, know no mask of its own, and take
    positions from outside; a sliding window must not be shorter than any text.

    Args:
        text_settings: The text model's part of `config.json`.
        longest: Gives the tokens of the longest text; asked only where there is a window.
    """
    kind = str(text_settings.get("model_type"))
    if kind not in PACKABLE_TYPES:
        return False
    if text_settings.get("position_embedding_type", "absolute") != "absolute":
        return False
    window = text_settings.get("sliding_window", _WINDOWS.get(kind))
    return not isinstance(window, int) or longest() <= window


def positions_after_padding(
    ids: NDArray[np.int64], packing: Packing, padding: int
) -> NDArray[np.int64]:
    """Positions as RoBERTa and its kin count them: from `padding` + 1, padding tokens left out.

    A padding token has the position `padding` wherever it stands, in the middle of a text too.

    Args:
        ids: Token ids of all texts, (tokens,).
        packing: Where the texts stand.
        padding: The padding token's id.
    """
    counted = ids != padding
    so_far = np.concatenate([np.zeros(1, np.int64), np.cumsum(counted)])
    before = np.repeat(so_far[packing.offsets[:-1]], packing.lengths)
    return np.where(counted, so_far[1:] - before, 0) + padding


def register_kernel() -> None:
    """Make `packed_attention` known to transformers as `KERNEL`."""
    from transformers import AttentionInterface

    AttentionInterface.register(KERNEL, packed_attention)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    packing: Packing,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of packed texts, each to itself; signature and result as transformers wants them.

    Args:
        module: The attention layer; it says whether it is causal.
        query: (1, heads, tokens, width).
        key: (1, key heads, tokens, width).
        value: Likewise.
        attention_mask: None: packed texts need none.
        packing: Where the texts stand.
        scaling: Of the logits; by the width of a head when None.
        is_causal: Overrules the module.

    Returns:
        (1, tokens, heads, width), and None for the weights.
    """
    assert attention_mask is None
    import torch

    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    grouped = key.shape[1] != query.shape[1]
    width = query.shape[-1]
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and width <= _WIDEST_HEAD:
        from torch.nn.attention.varlen import varlen_attn

        longest = int(packing.lengths.max())
        attended = varlen_attn(
            query[0].transpose(0, 1).contiguous(),
            key[0].transpose(0, 1).contiguous(),
            value[0].transpose(0, 1).contiguous(),
            packing.boundaries(query.device),
            packing.boundaries(query.device),
            longest,
            longest,
            scale=scaling,
            window_size=(-1, 0) if causal else (-1, -1),
            enable_gqa=grouped,
        )
        assert isinstance(attended, torch.Tensor)
        return attended[None], None
    parts = []
    by_token = (query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1))
    for q, k, v in zip(*(packing.split(each) for each in by_token), strict=True):
        attended = torch.nn.functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            scale=scaling,
            is_causal=causal and q.shape[1] > 1,
            enable_gqa=grouped,
        )
        parts.append(attended.transpose(1, 2).flatten(0, 1))
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None
