"""What a plan takes of stored results: how well the model used its device, what queries touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError
from harness.reporting.collect import collect

if TYPE_CHECKING:
    from harness.config import AlignedSparseConfig
    from harness.reporting.collect import Entry


def measured_mfu(results_dir: Path, model: str) -> tuple[float, str]:
    """The share of its peak at which a model's documents were encoded, and where it is from.

    Each pass counts by its time.

    Raises:
        BadInputError: If no result of the model has it.
    """
    passes: dict[tuple[str, str, str], tuple[float, float, str]] = {}
    for entry in _of_model(results_dir, model):
        cost, row = entry.row.cost, entry.row
        share, seconds = cost.get("mfu"), cost.get("encode_seconds")
        if share and seconds:  # of a pass that several modes share
            passes[row.task, row.split, row.subset] = share, seconds, row.hardware
    if not passes:
        raise BadInputError(
            f"hardware.mfu=null: no result of {model} under {results_dir} has an mfu; evaluate one "
            "with harness run cost=light on an empty store, or give hardware.mfu=0.4"
        )
    total = sum(seconds for _, seconds, _ in passes.values())
    mean = sum(share * seconds for share, seconds, _ in passes.values()) / total
    places = ", ".join(dict.fromkeys(hardware for *_, hardware in passes.values() if hardware))
    return mean, f"{len(passes)} passes on {places or 'unknown hardware'}"


def measured_shared_terms(
    results_dir: Path, model: str, mode: AlignedSparseConfig
) -> tuple[float, str]:
    """Terms that a query and a document have in common, and where that is from.

    The mean over all queries of the model's results of aligned tokens with the same K and M.

    Raises:
        BadInputError: If there is none.
    """
    found: dict[tuple[str, str, str], tuple[float, int, str]] = {}
    for entry in _of_model(results_dir, model):
        settings = entry.record.get("mode")
        if not isinstance(settings, Mapping) or not _alike(settings, mode):
            continue
        row, cost = entry.row, entry.row.cost
        shared, queries = cost.get("splade_flops"), cost.get("queries")
        if shared is not None and queries:
            found[row.task, row.split, row.subset] = shared, queries, row.task
    if not found:
        raise BadInputError(
            f"postings=measured: no result of {model} under {results_dir} is of aligned tokens "
            f"with doc_top_k={mode.doc_top_k} and query_expansion={mode.query_expansion}; evaluate "
            "one with harness run, or take postings=zipf or shared_terms=..."
        )
    total = sum(queries for _, queries, _ in found.values())
    mean = sum(shared * queries for shared, queries, _ in found.values()) / total
    tasks = ", ".join(dict.fromkeys(task for *_, task in found.values()))
    return mean, f"{total:,} queries of {tasks}"


def _of_model(results_dir: Path, model: str) -> Sequence[Entry]:
    return [entry for entry in collect(results_dir).entries if entry.row.model == model]


def _alike(settings: Mapping[str, Any], mode: AlignedSparseConfig) -> bool:
    wanted = ("kind", "doc_top_k", "query_expansion")
    return all(settings.get(name) == getattr(mode, name) for name in wanted)
