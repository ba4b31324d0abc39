"""A folder of JSON lines as a task object of mteb's class for its type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from harness.evaluation.tasks.json_lines import (
    FaultError,
    bad,
    checked_text,
    find_json_lines,
    own_name,
    parsed,
    require_folder,
    shown,
)
from harness.evaluation.tasks.local import loaded_task, local_metadata
from harness.evaluation.tasks.public import Evaluation, evaluation_of
from harness.evaluation.tasks.settings import (
    FILE,
    Settings,
    read_settings,
    refuse_useless_knobs,
)
from harness.evaluation.tasks.typed.form import TRAIN, Data, Form, Part
from harness.evaluation.tasks.typed.forms import form_of_keys, form_of_type


def typed_task(
    folder: Path, *, split: str = "test", empty_text: Literal["refuse", "keep"] = "refuse"
) -> Any:
    """Read a folder of JSON lines; `forms` says what it holds.

    Args:
        folder: Holds `{split}.jsonl`, and `train.jsonl` for types that train a classifier.
        split: Which file to evaluate.
        empty_text: Whether blank texts are refused or kept.

    Returns:
        A loaded task whose revision is the hash of its content.

    Raises:
        BadInputError: At the first fault, in one line with file, line number and remedy.
    """
    require_folder(folder)
    name, settings = own_name(folder), read_settings(folder)
    path = _split_file(folder, split)
    form = _form(folder, path, settings)
    refuse_useless_knobs(folder, settings, form.task_type, form.knobs)
    evaluation = evaluation_of(
        name, task_type=form.task_type, base=form.base, main_score=form.main_score
    )
    train = _train_file(folder, split) if _trains(form, evaluation) else None
    refuse_empty = empty_text == "refuse"
    test = _part(path, form, refuse_empty=refuse_empty)
    data = Data(
        split=split,
        test=test,
        train=_part(train, form, refuse_empty=refuse_empty) if train else None,
        base=evaluation.base,
        attributes=_attributes(form, evaluation, settings, test, split=split),
        is_copy=evaluation.is_copy,
    )
    form.check(data)
    metadata = local_metadata(
        name=name,
        description=settings.description
        or f"The {form.task_type} set {name}, read from a folder of JSON lines.",
        type=form.task_type,
        category=form.category,
        eval_splits=[split],
        eval_langs=settings.languages or list(evaluation.languages),
        main_score=evaluation.main_score,
        prompt=settings.prompt or evaluation.prompt,
        revision=_revision(form, data, settings.knobs()),
    )
    dataset = form.dataset(data)
    return loaded_task(
        data.base,
        f"Local{form.task_type}",
        {**data.attributes, "metadata": metadata},
        lambda: dataset,
    )


def _split_file(folder: Path, split: str) -> Path:
    try:
        paths = sorted(folder.iterdir(), reverse=True)
    except OSError as error:
        fault = f"cannot be read ({shown(str(error))}); check its permissions"
        raise bad(folder, fault) from None
    # The split is looked up among the files that exist, so that it never acts as a path. In this
    # order a plain file replaces a compressed one.
    splits = {
        path.name.removesuffix(".gz").removesuffix(".jsonl"): path
        for path in paths
        if path.name[0] != "." and path.name.endswith((".jsonl", ".jsonl.gz"))
    }
    if split in splits:
        return splits[split]
    if splits:
        known = ", ".join(shown(name) for name in sorted(splits))
        remedy = f"set tasks.split to one of {known}"
    else:
        remedy = "add it as SPLIT.jsonl, or corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"
    raise bad(folder, f"there are no lines for split {shown(split)}; {remedy}")


def _form(folder: Path, path: Path, settings: Settings) -> Form:
    if settings.type is not None:
        try:
            return form_of_type(settings.type)
        except FaultError as fault:
            raise bad(folder / FILE, str(fault)) from None
    for _, form in parsed(path, form_of_keys):
        return form
    raise bad(path, 'holds no line; add lines such as {"sentence1": "…", "sentence2": "…"}')


def _trains(form: Form, evaluation: Evaluation) -> bool:
    return form.trained and not evaluation.base.is_cross_validation


def _train_file(folder: Path, split: str) -> Path:
    path = find_json_lines(folder, f"{TRAIN}.jsonl")
    if path is None:
        fault = "there is no such file, and a classifier learns from it"
        raise bad(folder / f"{TRAIN}.jsonl", f"{fault}; add it with lines like those of {split}")
    if split == TRAIN:
        fault = "a classifier learns from these lines, so that they cannot evaluate it"
        raise bad(path, f"{fault}; set tasks.split to another file")
    return path


def _part(path: Path, form: Form, *, refuse_empty: bool) -> Part:
    text = partial(checked_text, refuse_empty=refuse_empty)
    numbers, rows = [], []
    for number, row in parsed(path, lambda record: form.row(record, text)):
        numbers.append(number)
        rows.append(row)
    if not rows:
        keys = ", ".join(form.keys)
        raise bad(path, f"holds no line; add objects with the keys {keys}")
    return Part(path=path, numbers=numbers, rows=rows)


def _attributes(
    form: Form, evaluation: Evaluation, settings: Settings, test: Part, *, split: str
) -> dict[str, Any]:
    """The class's attributes: what the lines need, then what the user set."""
    # A copy's class may name its columns as the public set does; ours are named as the type's.
    attributes = {
        name: getattr(form.base, name)
        for name in dir(form.base)
        if name.endswith(("_column_name", "column_names"))
    }
    attributes |= form.fixed
    if not evaluation.is_copy:
        attributes |= form.attributes(test)
    if form.trained and not _trains(form, evaluation):
        attributes["train_split"] = split
    return attributes | settings.knobs()


def _revision(form: Form, data: Data, knobs: Mapping[str, int]) -> str:
    """A SHA-256 prefix over every field and the settings that change what is drawn."""
    digest = hashlib.sha256()

    def add(value: object) -> None:
        digest.update(json.dumps(value, sort_keys=True).encode() + b"\n")

    add([form.task_type, dict(knobs)])
    for name, part in data.parts().items():
        add([name, len(part.rows)])
        for row in part.rows:
            add(row)
    return digest.hexdigest()[:32]
