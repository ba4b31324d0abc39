"""What our HTML pages share: their templates, and what a page may load and run."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


def templates() -> Environment:
    """Our templates; what is put into them is escaped, and must be there."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def inline(name: str) -> Markup:
    """A style sheet or script of ours; the policy's hash is of exactly this text."""
    text = (_TEMPLATES / name).read_text(encoding="utf-8")
    assert not re.search(r"</(style|script)", text)
    return Markup(text)


def policy_hash(text: str) -> str:
    """How a content security policy names a text that a page may hold."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
