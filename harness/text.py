"""Texts for lines that a person reads."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """The text with control characters and other unprintable ones escaped, on one line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def listed(names: Sequence[str], *, most: int = 5) -> str:
    """Names with commas between, the first few of a long list: `a, b and 7 more`."""
    rest = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {rest:,} more" if rest > 0 else shown
