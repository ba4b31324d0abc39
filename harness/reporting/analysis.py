"""What `harness analyze` found: tables and figures as files, one page, and a summary."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.reporting.analysis_page import Section, write_page
from harness.reporting.analysis_writer import AnalysisWriter
from harness.reporting.stages import named_tables, write_stages

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.analyser import Analysis, SpectrumTables
    from harness.analysis.stages_run import Stages
    from harness.analysis.study_run import Study

_RATES = (
    "Hit@K: the share of texts with one of their own tokens among the K largest logits of their "
    "embedding. LAR: the share of a text's tokens that are among as many largest logits as the "
    "text has tokens. GAR: the same over all texts' tokens together; it grows with the number of "
    "texts, so compare only sets of one size. Lines are 95 % intervals."
)
_FITTED = (
    " The head was fitted on the documents themselves: their rates say what it has learned, those "
    "of queries, which it has not seen, what it can tell."
)
_TOKENS = (
    "The tokens with the largest logits of each text's embedding, special tokens left out. Those "
    "that stand in the text are marked; the stronger the colour, the larger the logit."
)
_COMPRESSION = (
    "What the head's low rank or int8 costs: relative errors of its matrix and of the logits, the "
    "share of the exact head's k aligned tokens that stay, and the bytes of the matrix."
)
_SPECTRUM = (
    "Uncentred principal components u_1, u_2, ... of the backbone's embeddings, the share of their "
    "energy, and the variation v_j: how far the embedder's embeddings have moved along each, on "
    "average. What a component decodes to is read through the head."
)
_CONTRIBUTIONS = (
    "Each aligned token's logit as the sum of what u_1 gives and what the rest of the embedding "
    "gives; the head's bias is left out."
)
_ADJUSTED = (
    "Aligned tokens of the backbone's embedding h, of h + λu_1 and, where there is one, of "
    "the embedder's. A token that leaves or enters the list fades out."
)
_SWEEP = (
    "The backbone's embeddings with λu_1 added: how many texts align to one of their own "
    "tokens, and how well their aligned tokens retrieve. The line stands at v_1."
)
_STUDY = (
    "Every setting of the grid: nDCG@10 as a share of dense retrieval by the same model, against "
    "the FLOPs of scoring a query as a share of dense scoring. Steps join the settings that no "
    "other one beats in both."
)
_BYTES = "The same settings against the bytes of the index for each document."
_TRANSFER = (
    "The default setting, and the setting that each collection alone would choose (the smallest "
    "index within one standard error of the best, without a model for queries), on every "
    "collection: no collection's own row is a fair test of its choice, the others are."
)
_DIFFERENCES = (
    "Paired randomisation tests of nDCG@10 over the queries, with Holm's correction for the tests "
    "of a collection."
)


def write_analysis(
    folder: Path, found: Analysis, study: Study | None, stages: Stages | None = None
) -> Path:
    """Write every table (Parquet), figure (PNG, SVG, CSV) and the page that shows them.

    Returns:
        The page.
    """
    from harness.reporting import figures

    writer = AnalysisWriter(folder)
    if len(found.rates):
        drawn = figures.rates(found.rates)
        explained = _RATES + (_FITTED if found.fitted else "")
        writer.drawn("rates", "Alignment rates", explained, found.rates, drawn, shown=True)
    if len(found.compression):
        writer.plain("compression", "Compressed head", _COMPRESSION, found.compression)
    for tables in found.spectra:
        _write_spectrum(writer, tables)
    if len(found.tokens):
        file = writer.table(found.tokens, "aligned_tokens")
        # Ids are of one side of one task; a query may have a document's.
        for (task, side), part in found.tokens.groupby(["task", "side"], sort=False):
            heading = f"Aligned tokens: {task}, {side}"
            writer.sections.append(Section(heading=heading, text=_TOKENS, tokens=part, file=file))
    if study is not None:
        _write_study(writer, study)
    if stages is not None:
        write_stages(writer, stages)
    return write_page(
        folder / "index.html",
        title="Aligned tokens",
        model=f"{found.model}, {found.head} head",
        sections=writer.sections,
    )


def _write_spectrum(writer: AnalysisWriter, tables: SpectrumTables) -> None:
    from harness.reporting import figures

    name = tables.name
    of = f"{name}: {tables.backbone}"
    drawn = figures.spectrum(tables.spectrum)
    writer.drawn(
        f"spectrum-{name}", f"Spectrum of {of}", _SPECTRUM, tables.spectrum, drawn, shown=True
    )
    drawn = figures.sweep(tables.sweep)
    writer.drawn(f"sweep-{name}", f"Adjustment of {of}", _SWEEP, tables.sweep, drawn, shown=True)
    for number, (text, part) in enumerate(tables.contributions.groupby("id", sort=False), 1):
        drawn = figures.contributions(part)
        heading = f"{name}: contributions, {text}"
        writer.drawn(f"contributions-{name}-{number}", heading, _CONTRIBUTIONS, part, drawn)
    for number, (text, part) in enumerate(tables.adjusted.groupby("id", sort=False), 1):
        drawn = figures.adjusted(part)
        writer.drawn(
            f"adjusted-{name}-{number}", f"{name}: adjusted, {text}", _ADJUSTED, part, drawn
        )


def _write_study(writer: AnalysisWriter, study: Study) -> None:
    from harness.reporting import figures

    points, references = study.points, study.references
    writer.drawn(
        "study",
        "Settings of aligned sparse retrieval",
        _STUDY,
        points,
        figures.study(points, references),
    )
    documents = points.groupby("task")["documents"].first()
    each = points.assign(index_bytes=points["index_bytes"] / points["documents"])
    beside = references.assign(
        index_bytes=references["index_bytes"] / references["task"].map(documents)
    )
    writer.drawn(
        "study-bytes",
        "Settings by index size",
        _BYTES,
        each,
        figures.study_bytes(each, beside),
    )
    for name, heading, text, table in (
        ("study-modes", "Whole modes", "The run's modes on the same collections.", references),
        ("study-transfer", "Chosen settings, on all collections", _TRANSFER, study.transfer),
        ("study-differences", "Differences between modes", _DIFFERENCES, study.differences),
    ):
        writer.plain(name, heading, text, table)


def print_analysis(
    found: Analysis, study: Study | None, stages: Stages | None = None, *, as_json: bool
) -> None:
    """The figures on standard output: tables, or one JSON object a figure."""
    named = {
        "rates": found.rates,
        "compression": found.compression,
        **{f"spectrum {one.name}": one.spectrum for one in found.spectra},
        **{f"sweep {one.name}": one.sweep for one in found.spectra},
    }
    if study is not None:
        named |= {
            "modes": study.references,
            "transfer": study.transfer,
            "differences": study.differences,
        }
    if stages is not None:
        named |= named_tables(stages, as_json=as_json)
    for name, table in named.items():
        if not len(table):
            continue
        if as_json:
            lines = table.assign(table=name).to_json(orient="records", lines=True)
            sys.stdout.write(lines)
        else:
            _print_table(name, _narrow(table))


def _narrow(table: pd.DataFrame) -> pd.DataFrame:
    """All settings in one column, so that a line has room for the numbers."""
    from harness.analysis.choice import SETTINGS

    if not set(SETTINGS) <= set(table):
        return table
    settings = [", ".join(map(_cell, row)) for row in table[list(SETTINGS)].itertuples(index=False)]
    narrow = table.drop(columns=list(SETTINGS))
    narrow.insert(2, ", ".join(SETTINGS), settings)
    return narrow


def _print_table(name: str, table: pd.DataFrame) -> None:
    from rich.table import Table
    from rich.text import Text

    from harness.reporting.terminal import standard_output
    from harness.text import printable

    grid = Table(title=printable(name), title_justify="left", box=None, pad_edge=False)
    numbers = [table[column].dtype.kind in "if" for column in table.columns]
    for column, number in zip(table.columns, numbers, strict=True):
        grid.add_column(str(column), justify="right" if number else "left")
    for row in table.itertuples(index=False, name=None):
        grid.add_row(*(Text(_cell(value)) for value in row))
    console = standard_output()
    console.print(grid)
    console.print()


def _cell(value: object) -> str:
    from harness.text import printable

    if isinstance(value, float):
        return "" if value != value else f"{value:,.4g}"  # noqa: PLR0124
    return printable(str(value))
