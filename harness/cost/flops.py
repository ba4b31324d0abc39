"""FLOPs of encoding, of scoring and of fitting a head; 1 multiply-add is 2 FLOPs everywhere.

The closed forms count matrix products only, as ``torch.utils.flop_counter`` does: look-ups,
normalisation, activation functions, softmax and rotary embeddings are 0.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.cost.shape import TransformerShape, shape_from_config

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

__all__ = [
    "QuadraticFlops",
    "TransformerShape",
    "UnmeasurableError",
    "closed_form_flops",
    "dense_scoring_flops",
    "forward_flops",
    "head_flops",
    "measured_forward_flops",
    "padding_share",
    "ridge_fit_flops",
    "shape_from_config",
    "sparse_scoring_flops",
    "splade_flops",
]

_Postings = TypeVar("_Postings", int, NDArray[np.int64])

# Two lengths fix the two coefficients, the third checks them. They are short so that they fit
# below any model's maximum length; the counts are exact integers, so short costs no precision.
_FIT_LENGTHS = (16, 32)
_CHECK_LENGTH = 48
_CHECK_TOLERANCE = 1e-6

ENCODERS_OF_PAIRS = ("t5", "mt5", "umt5")  # saved alone they say that they are no pair


class UnmeasurableError(ValueError):
    """A model whose forward FLOPs cannot be counted on the meta device."""


@dataclass(frozen=True)
class QuadraticFlops:
    """Forward FLOPs of one text: constant + linear·L + quadratic·L², exact for dense attention.

    Attributes:
        linear: FLOPs per token (projections and feed-forward blocks).
        quadratic: FLOPs per pair of tokens (attention scores and their weighted sum).
        constant: FLOPs per text (layers after the pooling).
    """

    linear: float
    quadratic: float
    constant: float = 0.0

    def __add__(self, other: QuadraticFlops) -> QuadraticFlops:
        return QuadraticFlops(
            linear=self.linear + other.linear,
            quadratic=self.quadratic + other.quadratic,
            constant=self.constant + other.constant,
        )

    def at(self, lengths: ArrayLike) -> NDArray[np.float64]:
        """Return the forward FLOPs of texts of these lengths.

        Args:
            lengths: True lengths in tokens, integers of any shape, special tokens included.

        Returns:
            FLOPs, float64 of the same shape: exact below 2⁵³, and the sum over a large corpus
            does not overflow as it would in int64.

        Raises:
            ValueError: A length is negative.
        """
        tokens = np.asarray(lengths, dtype=np.float64)
        if np.any(tokens < 0):
            raise ValueError("lengths must not be negative")
        flops: NDArray[np.float64] = np.asarray(
            self.constant + tokens * self.linear + tokens * tokens * self.quadratic
        )
        return flops


def closed_form_flops(shape: TransformerShape) -> QuadraticFlops:
    """Return the closed form of the backbone's forward pass: no pooler, no language-model head.

    Per layer and token: 2·d·h·w for the queries and as much for the output (h heads of width w),
    2·d·g·w each for keys and values (g key and value heads), 2·d·f for each of the two feed-forward
    matrices, three where gated. Per layer and pair of tokens: 2·h·w for the scores and as much
    for the weighted sum. Every pair counts: causal masks and sliding windows save nothing, because
    dense attention computes what it then masks (and torch's counter counts it).

    Source: Hoffmann et al., 2022, "Training Compute-Optimal Large Language Models", appendix F,
    less its embedding, softmax and logit terms.
    """
    attention_width = shape.attention_heads * shape.head_width
    key_value_width = shape.key_value_heads * shape.head_width
    matrices = 3 if shape.gated else 2
    per_layer = (
        2
        * shape.width
        * (2 * attention_width + 2 * key_value_width + matrices * shape.feed_forward_width)
    )
    projections = 0
    if shape.embedding_width != shape.width:
        projections = 2 * 2 * shape.embedding_width * shape.width
    return QuadraticFlops(
        linear=float(shape.layers * per_layer + projections),
        quadratic=float(shape.layers * 2 * 2 * attention_width),
    )


def forward_flops(shape: TransformerShape, lengths: ArrayLike) -> NDArray[np.float64]:
    """Return the backbone's forward FLOPs at each true length, by `closed_form_flops`.

    Args:
        shape: The transformer's shape.
        lengths: True lengths in tokens, int64 of any shape.

    Returns:
        FLOPs, float64 of the same shape as ``lengths``.

    Raises:
        ValueError: A length is negative.
    """
    return closed_form_flops(shape).at(lengths)


def measured_forward_flops(config: PretrainedConfig) -> QuadraticFlops:
    """Count the backbone's forward FLOPs with ``torch.utils.flop_counter``, for any architecture.

    The backbone is built without weights on the meta device, so a model of any size takes no
    memory and well under a second. Attention is eager, because the counter misses the CPU's fused
    kernel. The configuration is left as it was.

    Args:
        config: The model's configuration.

    Returns:
        The two coefficients, from two lengths and checked on a third.

    Raises:
        UnmeasurableError: The model has routed experts, whose products the counter misses; its
            forward pass looks at values, which the meta device has not; or its FLOPs are not
            linear·L + quadratic·L² (padded windows, chunked recurrences).
    """
    name = f"the FLOPs of a {config.model_type} model"
    if any(
        "experts" in key and isinstance(value, int) and value > 1
        for key, value in config.to_dict().items()
    ):
        raise UnmeasurableError(f"{name} cannot be counted: it has routed experts")
    try:
        model = _meta_backbone(config)
        first, second, third = (_count(model, n) for n in (*_FIT_LENGTHS, _CHECK_LENGTH))
    # Models fail on the meta device in as many ways as they are written; all mean the same here.
    except Exception as error:
        raise UnmeasurableError(f"{name} cannot be counted without weights: {error}") from error

    short, long = _FIT_LENGTHS
    quadratic = (second / long - first / short) / (long - short)
    measured = QuadraticFlops(linear=first / short - quadratic * short, quadratic=quadratic)
    if third == 0 or abs(float(measured.at(_CHECK_LENGTH)) / third - 1) > _CHECK_TOLERANCE:
        raise UnmeasurableError(f"{name} are not a quadratic in the length")
    return measured


def _meta_backbone(config: PretrainedConfig) -> torch.nn.Module:
    """Build the backbone on the meta device, with eager attention and without a pooler."""
    import torch
    from transformers import MODEL_MAPPING, AutoModel, AutoModelForTextEncoding

    config = copy.deepcopy(config)
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and rope.get("rope_type") in ("dynamic", "longrope"):
        # These scale the angles by the length seen, a value; the products are the same.
        config.rope_parameters = {**rope, "rope_type": "default"}

    options = {}
    if type(config) in MODEL_MAPPING:
        # A tuple where the configuration decides between classes; none of those has a pooler.
        model_class: Any = MODEL_MAPPING[type(config)]
        if (
            not isinstance(model_class, tuple)
            and "add_pooling_layer" in inspect.signature(model_class).parameters
        ):
            options["add_pooling_layer"] = False
    # Typed as Any because transformers leaves the method untyped.
    automatic: Any = AutoModel
    if config.is_encoder_decoder or config.model_type in ENCODERS_OF_PAIRS:
        automatic = AutoModelForTextEncoding
    with torch.device("meta"):
        model: torch.nn.Module = automatic.from_config(
            config, attn_implementation="eager", **options
        )
    return model.eval()


def _count(model: torch.nn.Module, length: int) -> int:
    """Return the FLOPs of one forward pass over one text of this length."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    token_ids = torch.zeros((1, length), dtype=torch.long, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=token_ids)
    return int(counter.get_total_flops())


def head_flops(width: int, vocabulary_size: int) -> int:
    """Return 2·d·V, what a linear head adds for each text that it reads."""
    return 2 * width * vocabulary_size


def dense_scoring_flops(width: int, documents: int) -> int:
    """Return 2·d·N, the FLOPs of scoring one query against every document exactly."""
    return 2 * width * documents


def sparse_scoring_flops(postings_touched: _Postings) -> _Postings:
    """Return 2·Σ_{t∈q} df(t), the FLOPs of scoring one query over an inverted index.

    Args:
        postings_touched: Σ_{t∈q} df(t), the summed lengths of the posting lists of the query's
            tokens; an integer, or int64 of shape (queries,).

    Returns:
        FLOPs of the same type and shape.
    """
    return 2 * postings_touched


def splade_flops(query_token_share: ArrayLike, document_token_share: ArrayLike) -> float:
    """Return SPLADE's FLOPS figure, Σ_v p_q(v)·p_d(v).

    It is the expected number of vocabulary entries that a query and a document share, hence of
    multiply-adds per pair (not doubled, so as to be comparable with published figures).

    Source: Formal et al., 2021, "SPLADE: Sparse Lexical and Expansion Model for First Stage
    Ranking", after Paria et al., 2020.

    Args:
        query_token_share: Share of queries in which each vocabulary entry is active, (V,).
        document_token_share: The same for documents, (V,): df(v)/N.

    Raises:
        ValueError: The shapes differ or are not one-dimensional, or a share is outside [0, 1].
    """
    queries = np.asarray(query_token_share, dtype=np.float64)
    documents = np.asarray(document_token_share, dtype=np.float64)
    if queries.ndim != 1 or queries.shape != documents.shape:
        raise ValueError(f"shares must both be (V,), not {queries.shape} and {documents.shape}")
    for shares in (queries, documents):
        if not np.all((shares >= 0) & (shares <= 1)):
            raise ValueError("shares must lie in [0, 1]")
    return float(queries @ documents)


def ridge_fit_flops(*, texts: int, width: int, nonzeros: int, vocabulary_size: int) -> float:
    """Return the FLOPs of fitting W = (XᵀX + λI)⁻¹XᵀY by Cholesky.

    2·n·d² for the Gram matrix: a general matrix product computes both triangles, though a
    symmetric one (BLAS syrk) would need half; 2·nnz·d for XᵀY with sparse Y; d³/3 for the Cholesky
    factor (Golub and Van Loan, "Matrix Computations", 4.2); 2·d²·V for the two triangular solves
    of each of the V columns.

    Args:
        texts: Training texts n, the rows of X and Y.
        width: Width d of the embeddings, the columns of X.
        nonzeros: Entries of Y (n, V) that are not zero.
        vocabulary_size: Columns V of Y.
    """
    gram = 2 * texts * width**2
    targets = 2 * nonzeros * width
    factor = width**3 / 3
    solves = 2 * width**2 * vocabulary_size
    return gram + targets + factor + solves


def padding_share(true_tokens: int, padded_tokens: int) -> float:
    """Return which share of the tokens that were computed was padding, in [0, 1].

    Args:
        true_tokens: Tokens of the texts.
        padded_tokens: Tokens of the batches, padding included.

    Raises:
        ValueError: A count is negative, or there are more true tokens than padded ones.
    """
    if not 0 <= true_tokens <= padded_tokens:
        raise ValueError(f"need 0 <= true tokens ({true_tokens}) <= padded ({padded_tokens})")
    return 1 - true_tokens / padded_tokens if padded_tokens else 0.0
