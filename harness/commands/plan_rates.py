"""The rates and postings of a plan: given, measured here, or measured before; each is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config.plan import PlanConfig
    from harness.cost.machinery import Rates
    from harness.evaluation.planned_model import PlannedModel
    from harness.reporting.capacity import Grounds


def rates_of(config: PlanConfig, model: PlannedModel, grounds: Grounds) -> Rates:
    """How fast the machines of a plan are, and what they cost.

    Raises:
        BadInputError: If the share of the peak is to be read from results that have none.
    """
    from harness.cost.machinery import Rates
    from harness.reporting.planned_measures import measured_mfu

    machine = config.hardware
    peak = _peak(config, grounds)
    share = machine.mfu
    if share is None:
        share, where = measured_mfu(Path(config.results_dir).expanduser(), model.name)
        grounds.measured.append(f"{share:.1%} of the peak is reached: {where}")
    else:
        grounds.assumed.append(f"{share:.0%} of the peak is reached (hardware.mfu)")
    flops, read, postings = _search_rates(config, model, grounds)
    return Rates(
        encode_flops_per_second=peak * share,
        dense_flops_per_second=flops,
        bytes_per_second=read,
        postings_per_second=postings,
        batch=config.searcher.batch,
        encode_price=machine.price_per_hour,
        search_price=config.searcher.price_per_hour,
    )


def _peak(config: PlanConfig, grounds: Grounds) -> float:
    machine = config.hardware
    if machine.peak_flops is not None:
        peak = float(machine.peak_flops)
        grounds.published.append(f"{machine.name}: {peak / 1e12:,.1f} TFLOP/s at its peak")
        return peak
    import torch

    from harness.config import build
    from harness.cost.hardware import device_name, matmul_peak

    backend = build(config.backend, model=None, pooling=None)  # nothing is loaded
    device, dtype = backend.device, backend.dtype
    peak = matmul_peak(device, getattr(torch, dtype))
    grounds.measured.append(
        f"{machine.name}: {peak / 1e12:.3g} TFLOP/s, a matrix product on {device_name(device)} in "
        f"{dtype}"
    )
    return peak


def _search_rates(
    config: PlanConfig, model: PlannedModel, grounds: Grounds
) -> tuple[float, float, float]:
    """FLOP/s, bytes/s and postings/s of the searcher; those that are not given are measured."""
    given = config.searcher
    flops, read = given.flops_per_second, given.bytes_per_second
    postings = given.postings_per_second
    told = grounds.assumed
    if None in (flops, read, postings):
        from harness.evaluation.search_rates import dense_rates, sparse_rate

        told = grounds.measured
        if flops is None or read is None:
            found = dense_rates(model.embedder.width)
            flops, read = flops or found[0], read or found[1]
        postings = postings or sparse_rate()
    assert flops is not None
    assert read is not None
    assert postings is not None
    told.append(
        f"search on {given.name}: {flops / 1e9:,.0f} GFLOP/s of dense scores, "
        f"{read / 1e9:,.1f} GB/s, {postings / 1e6:,.0f} M postings/s"
    )
    return flops, read, postings


def shared_terms(
    config: PlanConfig, model: PlannedModel, grounds: Grounds
) -> Callable[[float, int], float]:
    """The expected common terms of a query of so many terms and a document that keeps so many."""
    from harness.cost.expected_postings import uniform_shared_terms, zipf_shared_terms

    vocabulary = model.embedder.vocabulary
    if config.shared_terms is not None:
        number = float(config.shared_terms)
        grounds.assumed.append(f"a query and a document have {number:g} terms in common")
        return lambda terms, kept: number
    if config.postings == "measured":
        from harness.reporting.planned_measures import measured_shared_terms

        folder = Path(config.results_dir).expanduser()
        mean, where = measured_shared_terms(folder, model.name, config.sparse)
        grounds.measured.append(
            f"a query and a document have {mean:.3g} terms in common: {where}; other collections "
            "are taken to be like these"
        )
        return lambda terms, kept: mean
    if config.postings == "uniform":
        grounds.assumed.append("all terms are alike, which no language is: the least postings")
        return lambda terms, kept: uniform_shared_terms(terms, kept, vocabulary)
    grounds.assumed.append(
        f"queries and documents draw their terms by Zipf's law, exponent {config.zipf_exponent:g}"
    )
    return lambda terms, kept: zipf_shared_terms(terms, kept, vocabulary, config.zipf_exponent)
