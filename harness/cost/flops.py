"""FLOPs of encoding, of scoring and of fitting a head; 1 multiply-add is 2 FLOPs everywhere."""

from harness.cost.closed_form import (
    QuadraticFlops,
    added_flops,
    closed_form_flops,
    forward_flops,
    head_flops,
    mlm_head_flops,
)
from harness.cost.fitting import (
    compression_flops,
    eigh_flops,
    fit_choice_flops,
    ridge_fit_flops,
)
from harness.cost.measured import ENCODERS_OF_PAIRS, UnmeasurableError, measured_forward_flops
from harness.cost.padding import padding_flops, padding_share
from harness.cost.scoring import dense_scoring_flops, sparse_scoring_flops, splade_flops
from harness.cost.shape import TransformerShape, shape_from_config

__all__ = [
    "ENCODERS_OF_PAIRS",
    "QuadraticFlops",
    "TransformerShape",
    "UnmeasurableError",
    "added_flops",
    "closed_form_flops",
    "compression_flops",
    "dense_scoring_flops",
    "eigh_flops",
    "fit_choice_flops",
    "forward_flops",
    "head_flops",
    "measured_forward_flops",
    "mlm_head_flops",
    "padding_flops",
    "padding_share",
    "ridge_fit_flops",
    "shape_from_config",
    "sparse_scoring_flops",
    "splade_flops",
]
