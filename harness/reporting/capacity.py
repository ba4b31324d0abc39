"""A capacity plan as tables, with what it rests on below them, or as JSON lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from harness.cost.machinery import SECONDS_PER_HOUR
from harness.reporting.terminal import print_json, standard_output
from harness.reporting.units import ABSENT, bytes_text, duration, milliseconds, si
from harness.text import printable

if TYPE_CHECKING:
    from harness.cost.capacity import CollectionPlan, ModeCost


_OF_MODE = (
    *("encode_flops_per_query", "scoring_flops_per_query", "touched_per_query"),
    *("ms_per_query", "corpus_flops", "flops", "hours", "money"),
)


@dataclass(frozen=True)
class Grounds:
    """What a plan rests on, in lines of text.

    Attributes:
        published: Figures that are known from outside.
        measured: Figures that were measured, here or before.
        assumed: Figures that are given or assumed.
        extrapolated: What lies beyond them.
    """

    published: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    extrapolated: list[str] = field(default_factory=list)

    def named(self) -> dict[str, list[str]]:
        """Lines by what they tell, in the order that they are shown in."""
        return {
            "published": self.published,
            "measured": self.measured,
            "assumed": self.assumed,
            "extrapolated": self.extrapolated,
        }


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What all collections of a plan share.

    Attributes:
        model: The model's name.
        about: Its shape in words.
        settings: What JSON lines repeat: the model's sizes, the machines, the index.
        queries: How many are asked of each collection.
        grounds: What the plan rests on.
    """

    model: str
    about: str
    settings: Mapping[str, Any]
    queries: int
    grounds: Grounds


def capacity_lines(plans: Sequence[CollectionPlan], facts: PlanFacts) -> None:
    """Print one JSON object a collection on standard output; what is unknown or never is null."""
    print_json(_record(plan, facts) for plan in plans)


def print_capacity(plans: Sequence[CollectionPlan], facts: PlanFacts) -> None:
    """Print encoding, indexes and queries as tables, and what they rest on.

    Args:
        plans: In the order that they are shown in.
        facts: What they share.
    """
    console = standard_output()
    console.print(Text(printable(f"{facts.model}: {facts.about}"), style="bold"))
    console.print(_encoding(plans))
    console.print(_indexes(plans))
    if any(plan.dense is not None for plan in plans):
        console.print(_queries(plans, facts))
    for name, lines in facts.grounds.named().items():
        for line in lines:
            console.print(Text(printable(f"{name}: {line}"), style="dim"))


def _encoding(plans: Sequence[CollectionPlan]) -> Table:
    priced = any(plan.encode_money is not None for plan in plans)
    table = _table("encoding", ["documents", "tokens", "FLOPs", "time"], priced)
    for name in ("store", "bfloat16", "int8"):
        table.add_column(name, justify="right", no_wrap=True)
    for plan in plans:
        collection = plan.collection
        money = [_money(plan.encode_money)] if priced else []
        cells = [
            si(collection.count) if collection.basis == "extrapolated" else f"{collection.count:,}",
            si(collection.tokens),
            si_large(plan.encode_flops),
            duration(plan.encode_seconds),
            *money,
            *(bytes_text(size) for size in plan.store_bytes.values()),
        ]
        _add(table, plan, [collection.name, *cells])
    return table


def _indexes(plans: Sequence[CollectionPlan]) -> Table:
    columns = ["dense float32", "sparse float32", "uint16", "uint8"]
    table = _table("indexes", [*columns, "to build: dense", "sparse"], False)
    for plan in plans:
        sizes = [plan.dense_bytes["float32"], *plan.sparse_bytes.values()]
        sizes += [plan.dense_build_bytes, plan.sparse_build_bytes]
        _add(table, plan, [plan.collection.name, *map(bytes_text, sizes)])
    return table


def _queries(plans: Sequence[CollectionPlan], facts: PlanFacts) -> Table:
    asked = [plan for plan in plans if plan.dense is not None and plan.sparse is not None]
    priced = any(mode and mode.money is not None for plan in asked for mode in _modes(plan))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{facts.queries:,} queries", overflow="fold")
    table.add_column("mode", no_wrap=True)
    columns = ["encode", "score", "FLOPs", "ms/query", "time", *(["cost"] if priced else [])]
    for name in [*columns, "pays after"]:
        table.add_column(name, justify="right", no_wrap=True)
    for plan in asked:
        for name, mode in zip(("dense", "sparse"), _modes(plan), strict=True):
            assert mode is not None
            first = name == "dense"
            cells = [
                plan.collection.name if first else "",
                name,
                si_large(mode.encode_flops),
                si_large(mode.scoring_flops),
                si_large(mode.flops),
                milliseconds(1e3 * (mode.encode_seconds + mode.search_seconds)),
                duration(mode.seconds),
                *([_money(mode.money)] if priced else []),
                "" if first else _paid_back(plan.break_even),
            ]
            table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _modes(plan: CollectionPlan) -> tuple[ModeCost | None, ModeCost | None]:
    return plan.dense, plan.sparse


def _paid_back(queries: float | None) -> str:
    if queries is None:
        return ABSENT
    return "never" if math.isinf(queries) else si(queries)


def si_large(value: float) -> str:
    """A count with an SI prefix, zetta and exa included."""
    for factor, prefix in ((1e24, "Y"), (1e21, "Z"), (1e18, "E")):
        if value >= factor * 0.9995:
            return f"{si(value / factor)} {prefix}"
    return si(value)


def _money(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.2f}"


def _table(heading: str, columns: Sequence[str], priced: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(heading, overflow="fold")
    for name in [*columns, *(["cost"] if priced else [])]:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, plan: CollectionPlan, cells: Sequence[str]) -> None:
    style = "bold" if plan.collection.basis in ("sum", "extrapolated") else ""
    table.add_row(*(Text(printable(cell)) for cell in cells), style=style)


def _record(plan: CollectionPlan, facts: PlanFacts) -> dict[str, Any]:
    collection = plan.collection
    record: dict[str, Any] = {
        "collection": collection.name,
        "basis": collection.basis,
        "model": facts.model,
        **facts.settings,
        "documents": collection.count,
        "distinct_documents": collection.distinct,
        "document_tokens": collection.tokens / max(collection.distinct, 1),
        "query_tokens": collection.query and collection.query.tokens,
        "query_terms": collection.query and collection.query.terms,
        "encode_flops": float(plan.encode_flops),
        "encode_hours": plan.encode_seconds / SECONDS_PER_HOUR,
        "encode_money": plan.encode_money,
        "head_flops": float(plan.head_flops),
    }
    for name in ("store", "dense", "sparse"):
        for dtype, size in getattr(plan, f"{name}_bytes").items():
            kind = "store" if name == "store" else f"{name}_index"
            record[f"{kind}_bytes_{dtype}"] = size
    record["dense_build_bytes"] = plan.dense_build_bytes
    record["sparse_build_bytes"] = plan.sparse_build_bytes
    record["queries"] = facts.queries
    for name, mode in zip(("dense", "sparse"), _modes(plan), strict=True):
        record |= {f"{name}_{key}": value for key, value in _mode(mode).items()}
    record["break_even_queries"] = plan.break_even
    return record | facts.grounds.named()


def _mode(mode: ModeCost | None) -> dict[str, float | None]:
    if mode is None:
        return dict.fromkeys(_OF_MODE)
    each = 1e3 * (mode.encode_seconds + mode.search_seconds)
    figures = (mode.encode_flops, mode.scoring_flops, mode.touched, each)
    totals = (mode.corpus_flops, mode.flops, mode.seconds / SECONDS_PER_HOUR)
    known = [float(figure) for figure in (*figures, *totals)]
    return dict(zip(_OF_MODE, [*known, mode.money], strict=True))
