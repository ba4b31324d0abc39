"""Files of JSON lines, one object a line: reading them, and naming what is wrong with them."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import BadInputError

T = TypeVar("T")

_LONGEST_SNIPPET = 80
_JSON_TYPES = {dict: "an object", list: "an array", bool: "a boolean", type(None): "null"}


class FaultError(ValueError):
    """What is wrong with one line, before file and line number are known."""


def own_name(folder: Path) -> str:
    """The name that a folder gives its task; a symbolic link keeps its own.

    Raises:
        BadInputError: If it is not UTF-8.
    """
    name = folder.resolve().name if folder.name in ("", "..") else folder.name
    if unusable_character(name):
        raise bad(folder, "the name is not UTF-8, so it cannot name a task; rename the folder")
    return name


def require_folder(folder: Path) -> None:
    """Check that a folder is one.

    Raises:
        BadInputError: If it is not, or cannot be looked at.
    """
    try:
        if folder.is_dir():
            return
        fault = "is not a folder" if folder.exists() else "there is no such folder"
    except OSError as error:
        fault = f"cannot be read ({shown(str(error))}); check the path and its permissions"
        raise bad(folder, fault) from None
    raise bad(
        folder, f"{fault}; set tasks.path to the folder that holds corpus.jsonl or SPLIT.jsonl"
    )


def find_json_lines(folder: Path, name: str) -> Path | None:
    """The file of a name in a folder, or else the same with `.gz`, or None."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def parsed(path: Path, parse: Callable[[dict[str, Any]], T]) -> Iterator[tuple[int, T]]:
    """What the objects of a file mean, with their line numbers; blank lines are skipped.

    Args:
        path: A file of JSON lines, compressed if its name ends in `.gz`.
        parse: What reads one object; it raises `FaultError`.

    Raises:
        BadInputError: At the first line that is no object, or that `parse` refuses.
    """
    for number, line in lines(path):
        stripped = line.strip()
        if not stripped:
            continue
        try:
            result = parse(_object(stripped))
        except FaultError as fault:
            raise bad(path, str(fault), number) from None
        yield number, result


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file from 1 on, without a byte order mark.

    Raises:
        BadInputError: If a line is not UTF-8, or the file cannot be read.
    """
    # Bytes are split first: then a line that is not UTF-8 has a number, and U+2028 ends no line.
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8 (byte 0x{error.object[error.start]:02x} at byte {error.start + 1})"
        raise bad(path, f"{fault}; convert the file to UTF-8", number) from None
    except (OSError, EOFError, zlib.error) as error:
        fault = f"cannot be read ({shown(str(error))}); check the file and its permissions"
        raise bad(path, fault, number + 1) from None


def field(record: dict[str, Any], key: str) -> Any:
    """A key's value.

    Raises:
        FaultError: If the object has no such key.
    """
    if key not in record:
        raise FaultError(f'has no "{key}"; add it to the object')
    return record[key]


def text(record: dict[str, Any], key: str, *, refuse_empty: bool = False) -> str:
    """A key's string.

    Raises:
        FaultError: If there is none, if it holds a character that data sets cannot, or if it is
            blank and that is refused.
    """
    return checked_text(field(record, key), f'"{key}"', refuse_empty=refuse_empty)


def checked_text(value: object, place: str, *, refuse_empty: bool = False) -> str:
    """A value that must be a string; `place` names it in the fault, see `text`."""
    if not isinstance(value, str):
        raise FaultError(f"{place} is {json_type(value)}, not a string; write a string")
    if unusable := unusable_character(value):
        raise FaultError(f"{place} contains {unusable}; remove it")
    if refuse_empty and not value.strip():
        raise FaultError(f"{place} is blank; remove the line or set tasks.empty_text=keep")
    return value


def items(record: dict[str, Any], key: str) -> list[Any]:
    """A key's array.

    Raises:
        FaultError: If it is none.
    """
    value = field(record, key)
    if not isinstance(value, list):
        raise FaultError(f'"{key}" is {json_type(value)}, not an array; write it as [...]')
    return value


def checked_number(value: object, place: str) -> float:
    """A value that must be a finite number; `place` names it in the fault.

    Raises:
        FaultError: If it is something else, NaN or beyond a float's range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FaultError(f"{place} is {json_type(value)}, not a number; write a number")
    if not abs(value) <= 1e308 or not math.isfinite(value):
        raise FaultError(f"{place} is not finite; write a finite number or remove the line")
    return float(value)


def checked_label(value: object, place: str) -> str | int:
    """A value that must be a string with a visible character, or an integer of 64 bits.

    Raises:
        FaultError: If it is something else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise FaultError(f"{place} is an integer beyond 64 bits; write a string")
        return value
    if not isinstance(value, str):
        raise FaultError(f"{place} is {json_type(value)}; write a string or an integer")
    if not value.strip():
        raise FaultError(f"{place} is blank; write a name or an integer")
    return checked_text(value, place)


def unusable_character(value: str) -> str | None:
    """What a text holds that no data set can hold, in words."""
    if "\0" in value:
        return r"a NUL character (\u0000)"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return r"half a surrogate pair (\ud800 to \udfff)"
    return None


def json_type(value: object) -> str:
    """The JSON type of a parsed value, with its article."""
    return "a string" if isinstance(value, str) else _JSON_TYPES.get(type(value), "a number")


def shown(value: str) -> str:
    """A text from outside, quoted and cut, as a message shows it."""
    quoted = repr(value[: _LONGEST_SNIPPET + 1])
    return quoted if len(quoted) <= _LONGEST_SNIPPET else f"{quoted[: _LONGEST_SNIPPET - 1]}…"


def bad(path: Path, fault: str, line: int | None = None) -> BadInputError:
    """The error of a file, or of one of its lines."""
    name = str(path) if str(path).isprintable() else repr(str(path))
    return BadInputError(f"{name}: {fault}" if line is None else f"{name}, line {line}: {fault}")


def _object(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = str(error).replace("line 1 ", "")
        fault = f"is not valid JSON ({reason}) in {shown(line)}; write one object a line"
        raise FaultError(fault) from None
    if not isinstance(record, dict):
        raise FaultError(f"is {json_type(record)}, not a JSON object; write one object a line")
    return record
