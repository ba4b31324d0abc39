"""Inspections in the terminal, and as JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from rich import box
from rich.table import Table
from rich.text import Text

from harness.alignment.inspection import Inspection
from harness.reporting.terminal import standard_output
from harness.text import printable

_LITERAL = "\u2022"


@dataclass(frozen=True)
class Variant:
    """One inspection and what it was made with.

    Attributes:
        template: Name of the template's file; empty for the configured one.
        instruction: The instruction given; empty for the task's own.
        found: The inspection.
    """

    template: str
    instruction: str
    found: Inspection

    @property
    def title(self) -> str:
        """What tells it from others."""
        return ": ".join(part for part in (self.template, self.instruction) if part)


def inspections_as_json(variants: Sequence[Variant], *, model: str) -> None:
    """Print each inspection as one JSON object on standard output."""
    for variant in variants:
        record = {
            "model": model,
            "template": variant.template,
            "instruction": variant.instruction,
            **asdict(variant.found),
        }
        sys.stdout.write(json.dumps(record, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_inspections(variants: Sequence[Variant], *, model: str, pooling: str) -> None:
    """Print each prompt with its tokens, then the aligned tokens side by side."""
    console = standard_output()
    for variant in variants:
        heading = variant.title or printable(model)
        console.print(Text(printable(heading), style="bold"))
        console.print(Text.assemble(("prompt  ", "dim"), _quoted(variant.found.prompt)))
        console.print(Text.assemble(("tokens  ", "dim"), _tokens(variant.found)))
        if cut := variant.found.cut:
            console.print(Text(f"        the text is too long: its last {cut:,} tokens are cut"))
        console.print()
    console.print(
        Text(f"\u27e6 \u27e7 the tokens that {printable(pooling)} pools   ", style="dim")
        + Text(f"{_LITERAL} a token of the text itself", style="dim")
    )
    console.print(_aligned_table(variants))


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


def _aligned_table(variants: Sequence[Variant]) -> Table:
    table = Table(title="aligned tokens", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("", justify="right", style="dim")
    for variant in variants:
        table.add_column(Text(printable(variant.title) or "token"), overflow="fold")
        table.add_column("weight", justify="right")
    for rank in range(max(len(variant.found.aligned) for variant in variants)):
        cells = [Text(str(rank + 1))]
        for variant in variants:
            if rank >= len(variant.found.aligned):
                cells += [Text(""), Text("")]
                continue
            token = variant.found.aligned[rank]
            mark = f" {_LITERAL}" if token.literal else ""
            style = "bold" if token.literal else ""
            cells += [Text(printable(token.token) + mark, style), Text(f"{token.weight:.3f}")]
        table.add_row(*cells)
    return table
