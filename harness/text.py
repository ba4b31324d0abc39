"""Text from outside, made safe to show in a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters and other unprintable ones escaped, on one line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
