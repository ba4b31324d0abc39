"""Docstrings of other conventions than the standard library's, brought into its form.

The standard library writes prose. Others write sections (numpydoc: `Parameters` over dashes, with
lines of types; Google: `Args:`), fields (`:param int size:`), code in fences and drawings in
directives. What is prose in them stays: a parameter as `size: How many bytes to read.`
"""

from __future__ import annotations

import re

_RULE = re.compile(r"[=\-~^*#\"'+`]{3,}")
# Sections that hold code, names or literature.
_WITHOUT_PROSE = re.compile(
    r"(?i)(?:examples?(?: usage)?|usage|see also|references?|methods|attributes summary|citations?|"
    r"bibliography|literature|doctests?|tests?|authors?|copyright|license|licence|versionadded|"
    r"sample code|code samples?|input types?|output types?)"
)
# Headings of sections that do: the heading itself says nothing.
_HEADING = re.compile(
    r"(?i)(?:(?:other |keyword |optional |required |additional )?(?:parameters?|params?|args|"
    r"arguments?|properties|options|inputs?|outputs?)|kwargs|"
    r"returns?|yields?|receives|raises?|warns?|warnings?|"
    r"exceptions?|throws|attributes|variables|fields|notes?|description|summary|details|"
    r"errors raised|class attributes|instance attributes|remarks?|members|overview)\s*:?:?"
)
_GOOGLE = re.compile(r"(?i)(?P<title>\w+(?: \w+)?)::?")
_RETURNS = re.compile(r"(?i)returns?|yields?")
_RETURNED_TYPE = re.compile(r"^(\s+)[\w.~\[\], |\"'`()]{1,100}:\s+(?=\S)")
_LIST_FIELD = re.compile(
    r"(?i):(?:param|parameter|keyword|kwarg|key|arg|argument|ivar|cvar|var|attribute)\s+"
    r"(?:[^:]*\s)?[*]*(?P<name>[\w.]+):"
)
_RETURN_FIELD = re.compile(r"(?i):(?:returns?|yields?|raises?(?:\s+[^:]*)?|raise|except\s[^:]*):")
_TYPE_FIELD = re.compile(
    r"(?i):(?:r?type|paramtype|kwtype|vartype|versionadded|versionchanged|deprecated|noindex|since|"
    r"meta|example|see|copyright|license|author|canonical|api|group|module|sig|cssclass|ytype)\b"
)
_TYPED_NAME = re.compile(
    r"(?P<names>[*]{0,2}\\?[*]?\w[\w.]*(?:\s*,\s*[*]{0,2}\w[\w.]*)*)\s*:(?:\s.*)?"
)
_GOOGLE_TYPE = re.compile(
    r"(?m)^(?P<indent>[ ]*)[*]{0,2}(?P<name>\w[\w.]*)\s*\((?:[^()]|\([^()]*\)){1,200}\)"
    r"\s*(?::|--)\s+"
)
_DIRECTIVE = re.compile(r"\.\. ?(?P<name>[\w:|.-]*)(?P<rest>.*)")
_PROSE_DIRECTIVE = re.compile(r"(?:note|warning|tip|important|caution|attention|admonition|hint)::")
_FENCE = re.compile(r"(?:```|~~~)")
_LINK = re.compile(
    r"!?\[([^\]\[]*)\]\((?:[^()]|\([^()]*\))*\)|`([^`<]+?)\s*<[^>`]*>`__?|`([^`]+)`__?(?!\w)"
)
_REFERENCE = re.compile(r"(?<![\w\]])!?\[([^\]\[]{2,})\]\[[A-Za-z][^\]\[]*\]")
_TAG = re.compile(r"(?<!`)</?[A-Za-z][^<>]{0,200}>(?!`)")
_URL = re.compile(r"<?\bhttps?://[^\s>)]*>?")
_FOOTNOTE = re.compile(r"\s?\[#?\w+\]_(?!\w)|\s\[(?:\d+|[A-Z]\w*\d{2,4}\w?)\](?![\w\[])")
_SUBSTITUTION = re.compile(r"%\(\w+\)s|\|\w+\|_?")
_BULLET = re.compile(r"(?m)^(\s*)(?:[-*+•]|\d+[.)]|\(\d+\))\s+(?=\S)")
_ENTITY = re.compile(r"&(?:nbsp|lt|gt|amp|quot);")
_TEX = re.compile(r"(?s)\$\$.*?\$\$")
_LONE_COLON = re.compile(r"(?m)(?<=[.!?:])\s+::?$")
_ADMONITION = re.compile(r"(?:!!!|\?\?\?)\+? \w+(?: \".*\")?|::")
_EPYTEXT = re.compile(r"\b[A-Z]\{([^{}]*)\}")
_EPYTEXT_FIELD = re.compile(r"(?m)^([ ]*)@(\w+)(?=(?:[ ]+[*\w.]+)?:)")


def plain(text: str) -> str:
    """A docstring without what only other conventions have.

    Args:
        text: As `inspect.cleandoc` leaves it.

    Returns:
        The text with sections of code, headings, lines of types, fences, directives that hold no
        prose, links' addresses and bullets left out; blank lines part what was parted.
    """
    text = _SUBSTITUTION.sub(" ", _TEX.sub(" ", text))
    # Epydoc's fields and marks: @param and C{None} are :param and None.
    text = _EPYTEXT_FIELD.sub(r"\1:\2", _EPYTEXT.sub(r"\1", text))
    lines = _without_blocks(text.expandtabs(4).splitlines())
    lines = _fields(_sections(lines))
    return _inline("\n".join(lines)).strip("\n")


def _inline(text: str) -> str:
    text = _GOOGLE_TYPE.sub(r"\n\g<indent>\g<name>: ", text)
    text = _REFERENCE.sub(r"\1", text)
    text = _LINK.sub(lambda match: match[1] or match[2] or match[3] or "", text)
    text = _URL.sub("", _FOOTNOTE.sub("", _ENTITY.sub(" ", _TAG.sub("", text))))
    text = _LONE_COLON.sub("", text)
    # A blank line before each item: it is a paragraph of its own.
    return _BULLET.sub(r"\n\1", text)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _block_end(lines: list[str], start: int, indent: int) -> int:
    """The first line from `start` on that is not blank and not deeper than `indent`."""
    end = start
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    return end


def _without_blocks(lines: list[str]) -> list[str]:
    """Drop fences, directives with what they hold, literal blocks and doctests."""
    kept: list[str] = []
    index = 0
    while index < len(lines):
        line, stripped, indent = lines[index], lines[index].strip(), _indent(lines[index])
        index += 1
        directive = _DIRECTIVE.fullmatch(stripped)
        if _FENCE.match(stripped):
            index = next(
                (at + 1 for at in range(index, len(lines)) if _FENCE.match(lines[at].strip())),
                len(lines),
            )
        elif directive:
            if not _PROSE_DIRECTIVE.match(directive["name"]):
                index = _block_end(lines, index, indent)
                kept.append("")
            else:
                kept.extend(("", directive["rest"].strip()))
        elif _ADMONITION.fullmatch(stripped):
            kept.append("")
            if stripped == "::":
                index = _block_end(lines, index, indent)
        elif stripped.startswith(">>>"):
            while index < len(lines) and lines[index].strip():
                index += 1
        else:
            kept.append(line)
            if stripped.endswith("::") and not _HEADING.fullmatch(stripped):
                index = _block_end(lines, index, indent)
                kept.append("")
    return kept


def _sections(lines: list[str]) -> list[str]:
    """Drop sections without prose, and the headings and type lines of the others."""
    kept: list[str] = []
    index = 0
    typed = False
    while index < len(lines):
        stripped, indent = lines[index].strip(), _indent(lines[index])
        following = lines[index + 1].strip() if index + 1 < len(lines) else ""
        underlined = bool(stripped) and bool(_RULE.fullmatch(following))
        google = _GOOGLE.fullmatch(stripped)
        title = google["title"] if google else stripped.rstrip(":")
        if underlined and not _RULE.fullmatch(stripped):
            index += 2
            kept.append("")
            typed = bool(_HEADING.fullmatch(title))
            if _WITHOUT_PROSE.fullmatch(title):
                index = _next_heading(lines, index)
        elif (
            _WITHOUT_PROSE.fullmatch(title)
            and (google or index + 1 < len(lines))
            and stripped.endswith(":")
        ):
            index = _block_end(lines, index + 1, indent)
            kept.append("")
        elif stripped and _HEADING.fullmatch(stripped) and stripped.endswith(":"):
            index += 1
            kept.append("")
            if _RETURNS.match(stripped) and index < len(lines):
                lines[index] = _RETURNED_TYPE.sub(r"\1", lines[index])
        elif typed and _is_type_line(lines, index):
            kept.append("")
            index += 1
            names = _TYPED_NAME.fullmatch(stripped)
            if names and index < len(lines):
                margin = " " * _indent(lines[index])
                lines[index] = f"{margin}{names['names'].strip('*')}: {lines[index].strip()}"
        else:
            kept.append(lines[index])
            index += 1
    return kept


def _is_type_line(lines: list[str], index: int) -> bool:
    """Whether a line of a numpydoc section is a name and type: the next one explains it, deeper."""
    line = lines[index]
    following = lines[index + 1] if index + 1 < len(lines) else ""
    if not line.strip() or not following.strip():
        return bool(line.strip()) and bool(re.fullmatch(r"\w+(?:, \w+)* : .*", line.strip()))
    return _indent(following) > _indent(line) and not line.rstrip().endswith((".", ","))


def _next_heading(lines: list[str], index: int) -> int:
    while index + 1 < len(lines):
        if lines[index].strip() and _RULE.fullmatch(lines[index + 1].strip()):
            return index
        index += 1
    return len(lines)


def _fields(lines: list[str]) -> list[str]:
    """Drop fields of types with their continuation; a parameter's name stays, its type goes."""
    kept: list[str] = []
    index = 0
    while index < len(lines):
        line, stripped = lines[index], lines[index].strip()
        index += 1
        if _TYPE_FIELD.match(stripped):
            index = _field_end(lines, index, _indent(line))
            continue
        named = _LIST_FIELD.match(stripped)
        returned = _RETURN_FIELD.match(stripped)
        if named:
            kept.extend(("", f"{named['name']}: {stripped[named.end() :].strip()}"))
        elif returned:
            word = stripped[1:].split(":")[0].split()[0].rstrip("s").capitalize() + "s"
            kept.extend(("", f"{word} {stripped[returned.end() :].strip()}"))
        else:
            kept.append(line)
    return kept


def _field_end(lines: list[str], index: int, indent: int) -> int:
    while index < len(lines) and lines[index].strip() and _indent(lines[index]) > indent:
        index += 1
    return index
