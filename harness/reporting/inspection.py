"""Inspections in the terminal, and as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.alignment.inspection import AlignedToken, Inspection
from harness.alignment.lenses import PERSISTENCE, Overlap, TokenComparison, comparison_frame
from harness.reporting.terminal import standard_output
from harness.text import printable

if TYPE_CHECKING:
    from pandas import DataFrame

_LITERAL = "\u2022"
_PAIR = ("text", "other")  # the settings that they are given by


@dataclass(frozen=True)
class Pair:
    """A second text beside the first, under the same model, template and instruction.

    Attributes:
        text: The second text.
        found: Its inspection.
        cosine: Of the two embeddings.
        compared: The aligned tokens of the first text and of the second.
    """

    text: str
    found: Inspection
    cosine: float
    compared: TokenComparison


@dataclass(frozen=True)
class Variant:
    """One inspection and what it was made with.

    Attributes:
        label: The name that the model was asked for by; empty for the configured one.
        model: The model's name.
        pooling: Its pooling.
        template: Name of the template's file; empty for the configured one.
        instruction: The instruction given; empty for the task's own.
        found: The inspection.
        pair: A second text beside it, or None.
    """

    label: str
    model: str
    pooling: str
    template: str
    instruction: str
    found: Inspection
    pair: Pair | None

    @property
    def title(self) -> str:
        """What tells it from others."""
        return ": ".join(part for part in (self.label, self.template, self.instruction) if part)


def lens_frame(
    variants: Sequence[Variant], compared: TokenComparison | None, *, text: str
) -> DataFrame:
    """What is compared, as the figure `lens` draws it; see `comparison_frame`.

    Args:
        variants: Two or more, or with pairs.
        compared: Their aligned tokens; None with pairs.
        text: The first text.
    """
    import pandas as pd

    if compared is not None:
        count = len(variants)
        titles = [variant.title for variant in variants]
        return comparison_frame(
            compared, variants=titles, text_ids=[_PAIR[0]] * count, texts=[text] * count
        )
    frames = [
        comparison_frame(
            variant.pair.compared,
            variants=[variant.title or variant.model] * 2,
            text_ids=_PAIR,
            texts=(text, variant.pair.text),
        )
        for variant in variants
        if variant.pair is not None
    ]
    return pd.concat(frames, ignore_index=True)


def inspections_as_json(variants: Sequence[Variant], compared: TokenComparison | None) -> None:
    """Print each inspection as one JSON object on standard output.

    A comparison is part of every object that it concerns; ranks and weights in it are in the order
    of the objects, or of the two texts.
    """
    for variant in variants:
        record = {
            "model": variant.model,
            "template": variant.template,
            "instruction": variant.instruction,
            **asdict(variant.found),
        }
        if compared is not None:
            record["compared"] = asdict(compared)
        if variant.pair is not None:
            record["other"] = {"text": variant.pair.text, **asdict(variant.pair.found)}
            record["cosine"] = variant.pair.cosine
            record["compared"] = asdict(variant.pair.compared)
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_inspections(variants: Sequence[Variant], compared: TokenComparison | None) -> None:
    """Print each prompt with its tokens, then aligned tokens side by side and what they share.

    Args:
        variants: With pairs each is its own comparison, and their measures stand last.
        compared: The variants' aligned tokens, where they are to be compared.
    """
    console = standard_output()
    paired = any(variant.pair for variant in variants)
    titles = [variant.title for variant in variants]
    names = titles
    if len(variants) > 2 and not paired:  # long titles stand once, their numbers from then on
        names = [str(number) for number in range(1, len(variants) + 1)]
        titles = [f"{name}  {title}" for name, title in zip(names, titles, strict=True)]
    for variant, title in zip(variants, titles, strict=True):
        console.print(Text(printable(title or variant.model), style="bold"))
        if variant.pair is None:
            _print_prompt(console, "prompt", variant.found)
        else:
            _print_prompt(console, _PAIR[0], variant.found)
            _print_prompt(console, _PAIR[1], variant.pair.found)
            lists = (variant.found.aligned, variant.pair.found.aligned)
            console.print(_aligned_table(_PAIR, lists))
            console.print(_groups_table(_PAIR, variant.pair.compared))
        console.print()
    poolings = {variant.pooling for variant in variants}
    pools = f"that {printable(poolings.pop())} pools" if len(poolings) == 1 else "that are pooled"
    console.print(
        Text(f"\u27e6 \u27e7 the tokens {pools}   ", style="dim")
        + Text(f"{_LITERAL} a token of the text itself", style="dim")
    )
    if paired:
        console.print(_pairs_table(variants))
    else:
        console.print(_aligned_table(titles, [variant.found.aligned for variant in variants]))
    if compared is not None:
        console.print(_groups_table(names, compared))
        console.print(_overlaps_table(names, compared))
    if paired or compared is not None:
        console.print(Text(f"RBO: rank-biased overlap, p = {PERSISTENCE:g}", style="dim"))
    if compared is not None and compared.by_text:
        marks = "tokens of several tokenizers are compared in lower case, without \u2423 and ##"
        console.print(Text(marks, style="dim"))


def _print_prompt(console: Console, name: str, found: Inspection) -> None:
    console.print(Text.assemble((f"{name:<8}", "dim"), _quoted(found.prompt)))
    console.print(Text.assemble(("tokens  ", "dim"), _tokens(found)))
    if found.cut:
        console.print(Text(f"        the text is too long: its last {found.cut:,} tokens are cut"))


def _quoted(prompt: str) -> Text:
    return Text(printable(json.dumps(prompt, ensure_ascii=False)))


def _tokens(found: Inspection) -> Text:
    """The tokens in order, each run of pooled ones in brackets."""
    line = Text()
    for pooled, run in groupby(found.tokens, key=lambda token: token.pooled):
        words = " ".join(printable(token.token) for token in run)
        line.append(
            f"\u27e6 {words} \u27e7 " if pooled else f"{words} ", "bold" if pooled else "dim"
        )
    return line


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)


def _aligned_table(titles: Sequence[str], lists: Sequence[Sequence[AlignedToken]]) -> Table:
    table = _table("aligned tokens")
    table.add_column("", justify="right", style="dim")
    for title in titles:
        table.add_column(Text(printable(title) or "token"), overflow="fold")
        table.add_column("weight", justify="right")
    for rank in range(max(map(len, lists))):
        cells = [Text(str(rank + 1))]
        for tokens in lists:
            if rank >= len(tokens):
                cells += [Text(""), Text("")]
                continue
            token = tokens[rank]
            mark = f" {_LITERAL}" if token.literal else ""
            style = "bold" if token.literal else ""
            cells += [Text(printable(token.token) + mark, style), Text(f"{token.weight:.3f}")]
        table.add_row(*cells)
    return table


def _groups_table(titles: Sequence[str], compared: TokenComparison) -> Table:
    """Tokens by the lists that have them."""
    table = _table("shared and differing tokens")
    table.add_column("in", overflow="fold", max_width=40)
    table.add_column("", justify="right", style="dim")
    table.add_column("tokens", overflow="fold", min_width=20)  # the title fits above
    every = "both" if len(titles) == 2 else f"all {len(titles)}"
    groups = {tuple(range(len(titles))): [], **compared.groups()}
    for held_by, tokens in groups.items():
        named = [printable(titles[number]) for number in held_by]
        if len(held_by) == len(titles):
            where = Text(every, "bold")
        else:
            where = Text(f"{named[0]} only" if len(named) == 1 else ", ".join(named))
        table.add_row(where, Text(str(len(tokens))), Text("  ".join(map(printable, tokens))))
    return table


def _overlaps_table(titles: Sequence[str], compared: TokenComparison) -> Table:
    table = _table("overlap")
    table.add_column("", overflow="fold")
    table.add_column("", overflow="fold")
    _add_measures(table)
    for overlap in compared.overlaps:
        names = [Text(printable(titles[n])) for n in (overlap.first, overlap.second)]
        table.add_row(*names, *_measures(overlap))
    return table


def _pairs_table(variants: Sequence[Variant]) -> Table:
    table = _table("text and other")
    table.add_column("", overflow="fold")
    table.add_column("cosine", justify="right")
    _add_measures(table)
    for variant in variants:
        assert variant.pair is not None
        name = Text(printable(variant.title or variant.model))
        (overlap,) = variant.pair.compared.overlaps
        table.add_row(name, Text(f"{variant.pair.cosine:.3f}"), *_measures(overlap))
    return table


def _add_measures(table: Table) -> None:
    for measure in ("common", "of k", "Jaccard", "RBO"):
        table.add_column(measure, justify="right")


def _measures(overlap: Overlap) -> list[Text]:
    shares = (overlap.at_k, overlap.jaccard, overlap.rbo)
    return [Text(str(overlap.common)), *(Text(f"{share:.3f}") for share in shares)]
