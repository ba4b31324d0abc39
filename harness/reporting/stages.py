"""The ablation of training stages: its sections of the page, and what is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.stages import by_pooling

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.stages_run import Stages
    from harness.reporting.analysis_writer import AnalysisWriter

_SUMMARY = (
    "Each stage of training with its own pooling and attention. dense is nDCG@10; hit, lar and gar "
    "are the alignment rates of documents; v_1 is how far the documents moved along the first "
    "stage's u_1, and v_1_share the square of that as a share of all movement of their mean. "
    "sparse_mM is aligned sparse retrieval with M query tokens added, through the stage's own "
    "head; hybrid fuses dense with BM25, hybrid_sparse with aligned sparse retrieval. These and "
    "bm25 are shares of the stage's own dense retrieval."
)
_DENSE = (
    "nDCG@10 of dense retrieval by every stage, with every attention and pooling. A ring marks the "
    "stage's own setting."
)
_MODES = (
    "Every mode of each stage's own setting. share is of dense retrieval by the same stage, low "
    "and high its 95 % interval by the paired bootstrap over queries; a verdict says whether the "
    "threshold, the dashed line, lies below it (reached), above it (not reached) or in it "
    "(undecided). p is of no difference from dense, by paired randomisation, p_holm corrected for "
    "all tests of the collection."
)
_RATES = (
    "Hit@K, LAR and GAR of each stage's own setting, through its own head. Lines are 95 % "
    "intervals."
)
_VARIATION = (
    "v_1: the mean over the documents of (ĥ − h)·u_1, ĥ a stage's embedding and h the first "
    "stage's, u_1 the first right singular vector of the first stage's embeddings, uncentred. "
    "largest_other is the largest of the next directions' |v_j|, energy the share of the first "
    "stage's energy that lies in u_1, direction what u_1 decodes to."
)
_TOKENS = (
    "The tokens with the largest logits of a query's embedding, stage by stage, each through its "
    "own head; special tokens are left out. One that leaves or enters the list fades out."
)
_IN_FILES = ["attention", "pooling", "difference", "p"]  # of modes, and not printed


def write_stages(writer: AnalysisWriter, stages: Stages) -> None:
    """Write the tables and figures of the stages, and their sections of the page."""
    from harness.reporting import figures

    writer.plain("stages", "Stages of training", _SUMMARY, stages.summary)
    writer.drawn(
        "stages-dense",
        "Dense retrieval by stage, attention and pooling",
        _DENSE,
        stages.dense,
        figures.stages_dense(stages.dense),
        shown=by_pooling(stages.dense),
        rows=60,
    )
    writer.drawn(
        "stages-modes",
        "Modes by stage",
        _MODES,
        stages.modes,
        figures.stages_modes(stages.modes, stages.threshold),
        shown=True,
        rows=60,
    )
    writer.drawn(
        "stages-rates",
        "Alignment by stage",
        _RATES,
        stages.rates,
        figures.stages_rates(stages.rates),
        shown=True,
        rows=60,
    )
    writer.drawn(
        "stages-variation",
        "Movement along the first component, by stage",
        _VARIATION,
        stages.variations,
        figures.stages_variation(stages.variations),
        shown=True,
    )
    if not len(stages.tokens):
        return
    texts = stages.tokens.groupby(["task", "id"], sort=False)
    for number, ((task, text), part) in enumerate(texts, 1):
        writer.drawn(
            f"stages-tokens-{number}",
            f"{task}: aligned tokens by stage, {text}",
            _TOKENS,
            part,
            figures.adjusted(part.rename(columns={"stage": "state"})),
        )


def named_tables(stages: Stages, *, as_json: bool) -> dict[str, pd.DataFrame]:
    """What is printed, by name: for readers in tables that are narrow enough."""
    summary = {"stages": stages.summary}
    dense, modes = stages.dense, stages.modes
    if not as_json:
        columns = list(stages.summary)
        split = columns.index("v_1_share") + 1
        summary = {
            "stages": stages.summary[columns[:split]],
            "stages, shares of dense": stages.summary[["task", "stage", *columns[split:]]],
        }
        dense, modes = by_pooling(dense), modes.drop(columns=_IN_FILES)
    return {
        **summary,
        "stages dense": dense,
        "stages modes": modes,
        "stages rates": stages.rates,
        "stages variation": stages.variations,
    }
