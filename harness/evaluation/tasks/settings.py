"""A folder's own `task.json`: what a user says of a task beside its texts."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mteb.languages import check_language_code

from harness.evaluation.tasks.json_lines import (
    FaultError,
    bad,
    checked_text,
    json_type,
    shown,
)
from harness.files import read_json

FILE = "task.json"


@dataclass(frozen=True)
class Settings:
    """What `task.json` says; a field is None where it says nothing.

    Attributes:
        type: mteb's task type.
        languages: mteb's language codes, such as `eng-Latn`.
        prompt: What the task asks for, one text or one per side (`query`, `document`).
        description: One sentence for mteb's metadata.
        samples_per_label: Training texts per label and experiment.
        n_experiments: How many classifiers are trained.
    """

    type: str | None = None
    languages: list[str] | None = None
    prompt: str | dict[str, str] | None = None
    description: str | None = None
    samples_per_label: int | None = None
    n_experiments: int | None = None

    def knobs(self) -> dict[str, int]:
        """The settings of classifiers that were given."""
        names = ("samples_per_label", "n_experiments")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def read_settings(folder: Path) -> Settings:
    """Read a folder's `task.json`, if there is one.

    Raises:
        BadInputError: If it is no JSON object, or a key or value is bad.
    """
    path = folder / FILE
    if not path.exists():
        return Settings()
    record = read_json(path, remedy="write one object")
    for key in record:
        if key not in _READERS:
            known = ", ".join(_READERS)
            raise bad(path, f"{shown(key)} is no setting; the settings are {known}")
    try:
        return Settings(**{key: _READERS[key](value, key) for key, value in record.items()})
    except FaultError as fault:
        raise bad(path, str(fault)) from None


def refuse_useless_knobs(
    folder: Path, settings: Settings, task_type: str, useful: Container[str]
) -> None:
    """Refuse settings of classifiers that a task type has no use for.

    Raises:
        BadInputError: If there is one.
    """
    for name in settings.knobs():
        if name not in useful:
            fault = f'"{name}" means nothing to a task of type {task_type}; remove it'
            raise bad(folder / FILE, fault)


def _text(value: object, key: str) -> str:
    result = checked_text(value, f'"{key}"')
    if not result.strip():
        raise FaultError(f'"{key}" is blank; write it or remove the key')
    return result


def _languages(value: object, key: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise FaultError(f'"{key}" is not an array of codes; write it as ["eng-Latn"]')
    codes = [_text(code, key) for code in value]
    for code in codes:
        language, _, script = code.partition("-")
        try:
            check_language_code(code)
        except ValueError:
            language = ""
        if not (language and script):
            raise FaultError(f'"{key}" has {shown(code)}; write mteb codes such as "eng-Latn"')
    return codes


def _prompt(value: object, key: str) -> str | dict[str, str]:
    if not isinstance(value, Mapping):
        return _text(value, key)
    if not value or not set(value) <= {"query", "document"}:
        raise FaultError(f'"{key}" has other keys than "query" and "document"; keep these two')
    return {str(side): _text(text, f"{key}.{side}") for side, text in value.items()}


def _count(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FaultError(f'"{key}" is {json_type(value)}, not an integer; write 1 or more')
    if not 1 <= value < 2**31:
        raise FaultError(f'"{key}" is out of range; write 1 or more')
    return value


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "type": _text,
    "languages": _languages,
    "prompt": _prompt,
    "description": _text,
    "samples_per_label": _count,
    "n_experiments": _count,
}
