"""Lines with two sentences: similarity, pair classification, parallel texts."""

from __future__ import annotations

from mteb.abstasks import AbsTaskBitextMining, AbsTaskPairClassification, AbsTaskSTS

from harness.evaluation.tasks.json_lines import FaultError, bad, checked_number, field
from harness.evaluation.tasks.typed.form import Data, Form, Row, TextReader

_SENTENCES = ("sentence1", "sentence2")


def _sentences(record: Row, text: TextReader) -> Row:
    return {key: text(field(record, key), f'"{key}"') for key in _SENTENCES}


def _scored(record: Row, text: TextReader) -> Row:
    score = checked_number(field(record, "score"), '"score"')
    return _sentences(record, text) | {"score": score}


def _labelled(record: Row, text: TextReader) -> Row:
    label = field(record, "label")
    if isinstance(label, bool) or label not in (0, 1) or not isinstance(label, int):
        raise FaultError('"label" is neither 0 nor 1; write 1 for a pair that belongs together')
    return _sentences(record, text) | {"labels": label}


def _two_scores(data: Data) -> None:
    if len(set(data.test.column("score"))) < 2:
        fault = "all scores are equal, so that nothing correlates with them; add another score"
        raise bad(data.test.path, fault)


def _two_labels(data: Data) -> None:
    for label in (0, 1):
        if label not in data.test.column("labels"):
            raise bad(data.test.path, f"no pair has the label {label}; add one that has")


def _two_lines(data: Data) -> None:
    if len(data.test.rows) < 2:
        fault = "has one pair, which every model would find; add another"
        raise bad(data.test.path, fault)


STS = Form(
    task_type="STS",
    keys=(*_SENTENCES, "score"),
    base=AbsTaskSTS,
    main_score="cosine_spearman",
    row=_scored,
    check=_two_scores,
)

PAIR_CLASSIFICATION = Form(
    task_type="PairClassification",
    keys=(*_SENTENCES, "label"),
    base=AbsTaskPairClassification,
    main_score="max_ap",
    row=_labelled,
    check=_two_labels,
)

BITEXT_MINING = Form(
    task_type="BitextMining",
    keys=_SENTENCES,
    base=AbsTaskBitextMining,
    main_score="f1",
    row=_sentences,
    check=_two_lines,
    fixed={"parallel_subsets": False},
)
