"""Lines with a text and what a classifier is to tell of it: one label, several, or a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from datasets import Dataset, DatasetDict
from mteb.abstasks import (
    AbsTaskClassification,
    AbsTaskMultilabelClassification,
    AbsTaskRegression,
)

from harness.evaluation.tasks.json_lines import (
    bad,
    checked_label,
    checked_number,
    field,
    items,
    shown,
)
from harness.evaluation.tasks.typed.form import TRAIN, Data, Form, Part, Row, TextReader, as_splits

Label = str | int

_FIXED = {"train_split": TRAIN}


def _one_label(record: Row, text: TextReader) -> Row:
    label = checked_label(field(record, "label"), '"label"')
    return {"text": text(field(record, "text"), '"text"'), "label": label}


def _some_labels(record: Row, text: TextReader) -> Row:
    labels = [checked_label(value, 'an entry of "labels"') for value in items(record, "labels")]
    return {"text": text(field(record, "text"), '"text"'), "label": labels}


def _value(record: Row, text: TextReader) -> Row:
    value = checked_number(field(record, "value"), '"value"')
    return {"text": text(field(record, "text"), '"text"'), "value": value}


def _check_one(data: Data) -> None:
    known = _check_kinds(data)
    if len(known) < 2:
        fault = f"has {len(known)} label, and a classifier needs 2; add lines with another label"
        raise bad(_learnt(data).path, fault)


def _check_some(data: Data) -> None:
    _check_kinds(data)
    if len({label for _, label in _labels(data.test)}) < 2:
        raise bad(data.test.path, "has fewer than 2 labels; add lines with another label")
    train = _learnt(data)
    needed = getattr(data.attribute("evaluator_model"), "n_neighbors", 1)
    drawn = _fewest_drawn(train, data.attribute("samples_per_label"))
    if drawn < needed:
        fault = f"an experiment may draw as few as {drawn} of the labelled lines, and"
        remedy = "add lines or raise samples_per_label in task.json"
        raise bad(train.path, f"{fault} the classifier needs {needed}; {remedy}")


def _check_kinds(data: Data) -> set[Label]:
    """Refuse labels of two kinds and labels that cannot be learnt; return those that can."""
    train = _learnt(data)
    kind = next((type(label) for part in (train, data.test) for _, label in _labels(part)), str)
    for part in data.parts().values():
        for number, label in _labels(part):
            if not isinstance(label, kind):
                fault = "labels are strings in one line and integers in another; write one kind"
                raise bad(part.path, fault, number)
    known = {label for _, label in _labels(train)}
    # A public set is scored as it is: some have labels that occur in the test split alone.
    for number, label in () if data.is_copy else _labels(data.test):
        if label not in known:
            fault = f"the label {shown(str(label))} is in no line of {train.path.name}, so that"
            remedy = "add lines with it there or remove it"
            raise bad(data.test.path, f"{fault} no model could find it; {remedy}", number)
    return known


def _check_values(data: Data) -> None:
    train = _learnt(data)
    for part in (data.test, train):
        if len(set(part.column("value"))) < 2:
            raise bad(part.path, "all values are equal; add lines with another value")
    most = data.attribute("n_samples")
    if len(train.rows) > most:
        # mteb draws equally from ten ranges of the values, which some sizes and ties rule out.
        table = Dataset.from_dict({"value": train.column("value")})
        try:
            data.base.stratified_subsampling(
                DatasetDict({TRAIN: table}), seed=42, splits=[TRAIN], label="value", n_samples=most
            )
        except ValueError:
            fault = f"mteb cannot draw {most} of its {len(train.rows)} lines evenly"
            raise bad(train.path, f"{fault}; keep {most} lines or add more") from None


def _fewest_drawn(train: Part, samples_per_label: int) -> int:
    """A bound on the lines that an experiment draws: each label's first `samples_per_label`."""
    counts = Counter(label for _, label in _labels(train))
    labelled = [row["label"] for row in train.rows if row["label"]]
    if max(counts.values(), default=0) <= samples_per_label:
        return len(labelled)
    wanted = sum(min(count, samples_per_label) for count in counts.values())
    return max(samples_per_label, -(-wanted // max(map(len, labelled))))


def _numbered(data: Data) -> object:
    """Labels as mteb's sets number them: in alphabetical order, capitals among small letters.

    Integers stay as they are. Where the test split has just two labels, mteb also computes average
    precision, which fails unless one of them is 1: then the two become 0 and 1.
    """
    tested = {label for _, label in _labels(data.test)}
    known = tested.union(label for _, label in _labels(_learnt(data)))
    first = tested if len(tested) == 2 else set()
    stay = all(isinstance(label, int) for label in known) and (not first or 1 in first)
    order = sorted(known, key=lambda label: (label not in first, *_alphabetical(label)))
    numbers = {label: label if stay else place for place, label in enumerate(order)}
    return as_splits(
        {
            split: [row | {"label": numbers[row["label"]]} for row in part.rows]
            for split, part in data.parts().items()
        }
    )


def _alphabetical(label: Label) -> tuple[Label, Label]:
    return (label.casefold() if isinstance(label, str) else label), label


def _labels(part: Part) -> Iterator[tuple[int, Label]]:
    for number, row in zip(part.numbers, part.rows, strict=True):
        labels = row["label"] if isinstance(row["label"], list) else [row["label"]]
        yield from ((number, label) for label in labels)


def _learnt(data: Data) -> Part:
    return data.train or data.test


CLASSIFICATION = Form(
    task_type="Classification",
    keys=("text", "label"),
    base=AbsTaskClassification,
    main_score="accuracy",
    row=_one_label,
    category="t2c",
    check=_check_one,
    dataset=_numbered,
    fixed=_FIXED,
    knobs=("samples_per_label", "n_experiments"),
    trained=True,
)

MULTILABEL_CLASSIFICATION = Form(
    task_type="MultilabelClassification",
    keys=("text", "labels"),
    base=AbsTaskMultilabelClassification,
    main_score="accuracy",
    row=_some_labels,
    category="t2c",
    check=_check_some,
    fixed=_FIXED,
    knobs=("samples_per_label", "n_experiments"),
    trained=True,
)

REGRESSION = Form(
    task_type="Regression",
    keys=("text", "value"),
    base=AbsTaskRegression,
    main_score="kendalltau",
    row=_value,
    category="t2c",
    check=_check_values,
    fixed=_FIXED,
    knobs=("n_experiments",),
    trained=True,
)
