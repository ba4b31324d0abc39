"""Documentation text: cleaned of markup, split into summary and body, with its own name masked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MIN_BODY_WORDS = 15
MAX_BODY_WORDS = 120
MIN_QUERY_WORDS = 4
MAX_QUERY_WORDS = 30
MIN_CONTENT_WORDS = 3
# Below this share of letters and spaces a paragraph is code, grammar, a table or a drawing.
MIN_LETTER_SHARE = 0.8

_SIGNATURE = re.compile(r"[\w.]+\(.*\)(?:\s*->.*)?|[\w.]+\([^()]*")
_RESULT = re.compile(r"->\s*\S+(?:\s\S+){0,3}?\.?\s{2,}(?=[A-Z])")
_UNDERLINE = re.compile(r"[\W_]*")
_DIRECTIVE = re.compile(r"\.\. |:(?:rtype|type)\b|\$(?:Id|Revision|Date)\b")
_VERSION_NOTE = re.compile(
    r"(?:New|Added|Changed|Deprecated)(?: since| in)? version\b|(?:Copyright|Written by|Author)\b"
)
_ROLE = re.compile(r":[a-z]+(?::[a-z]+)?:`~?\.?([^`]+)`")
_FIELD = re.compile(r"(?m)^:(?:param |raises? )?(\w[\w ]*):")
_QUOTED = re.compile(r"``([^`]+)``|`([^`']+)[`']")
_EMPHASIS = re.compile(r"(?<![\w*])\*{1,2}(\w(?:[^*\n]*\w)?)\*{1,2}(?![\w*])")
_QUOTED_CODE = re.compile(r"\"([A-Za-z_][\w.]*(?:\(\))?)\"")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]*(?=\s+[\"'(\[]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?i)(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|no|dr|mr)|\.\.)\.$")
_CODE_LINE = re.compile(
    r"from \w|import \w|def \w|class \w+.*:$|return\b|print\(|assert |@\w|#|"
    r"[\w.\[\]'\"]+(?:, [\w.]+)* [-+*/]?= |[\w.]+\(.*\)$|(?:async |for|while|if|elif|with)\b.*:$"
)
# What announces an example is left without one.
_ANNOUNCEMENT = re.compile(r"(?i)(?:for |an? )?(?:examples?|e\.g\.)[^.\n]*:?")
_DEFINITION = re.compile(r"\w+\s*(?:=|->)")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_IDENTIFIER = re.compile(r"\w+")

# Words that many summary lines share: without them a query must still name a subject.
_COMMON = (
    "a about above after all an and any are as at be been before below but by can class constructor"
    " create data default do does don't each else for from function get given has have if in init"
    " initialize instance into is it its itself like make may method module more must new no not"
    " object objects of on one only or other over override overridden parameters perform probably"
    " represent representation return returned returns same see self set should some such take than"
    " that the their them then there these this those to true false none up use used using value"
    " values want was when where whether which will with without x y you your"
)
_COMMON_WORDS = frozenset(_COMMON.split())


class Split(NamedTuple):
    """Documentation in two parts.

    Attributes:
        summary: The first sentence, on one line, without its full stop; may be empty.
        body: All else: paragraphs joined by line feeds, each on one line.
    """

    summary: str
    body: str


def paragraphs(text: str) -> list[str]:
    """The prose paragraphs of a cleaned docstring (`inspect.cleandoc`).

    Signature lines at the head, doctests, underlines, directives, notes on versions and authors,
    and paragraphs that are code or tables rather than prose are left out; inline markup is reduced
    to the words that it marks.

    Args:
        text: A docstring or a topic of the help system.

    Returns:
        Paragraphs with their own line breaks.
    """
    kept: list[str] = []
    for block in re.split(r"\n\s*\n", _without_signatures(text)):
        lines = _prose_lines(block.splitlines())
        paragraph = "" if _is_code(lines) else _without_markup("\n".join(lines))
        if _VERSION_NOTE.match(paragraph) or _ANNOUNCEMENT.fullmatch(paragraph):
            continue
        if paragraph and _is_prose(paragraph):
            kept.append(paragraph)
    return kept


def split_summary(text: str) -> Split:
    """Split documentation into its first sentence and the rest.

    A first paragraph of several sentences gives its first one to the summary and the others to the
    body, so that text which never had a summary line of its own is split like text which has.

    Args:
        text: A docstring as `inspect.cleandoc` leaves it.

    Returns:
        The summary and the body, either possibly empty.
    """
    found = paragraphs(text)
    if not found:
        return Split("", "")
    first, rest = _first_sentence(found[0])
    body = [part for part in (rest, *found[1:]) if part]
    return Split(_one_line(first).rstrip(".: "), "\n".join(map(_one_line, body)))


def mask_name(text: str, qualified_name: str, kind: str) -> str:
    """Replace an object's own name by `this <kind>` in its documentation.

    Names that cannot be ordinary words (with an underscore, a digit or a capital) are masked
    wherever they stand as a word, others (`close`, `split`) only before a parenthesis or after a
    dot, where they cannot be the English word. Dotted prefixes and an article go with the name.

    Args:
        text: One summary or body.
        qualified_name: Dotted name whose last part is the object's own.
        kind: `module`, `class`, `function`, `method` or `topic`.

    Returns:
        The text with every such occurrence replaced.
    """
    name = re.escape(bare_name(qualified_name))
    dotted = r"(?:[^\W\d]\w*\.)"
    if re.search(r"[_\dA-Z]", bare_name(qualified_name)):
        occurrence = rf"(?<![\w.]){dotted}*{name}(?!\w)"
    else:
        occurrence = rf"(?<![\w.])(?:{dotted}+{name}(?!\w)|{name}(?=\())"
    article = r"(?:\b(?:[Tt]he|[Aa]n?|[Tt]his)\s+)?"
    return re.sub(rf"{article}{occurrence}(?:\(\))?(?:\s+{kind}\b)?", f"this {kind}", text)


def cut(body: str, max_words: int = MAX_BODY_WORDS) -> str:
    """The beginning of a body, at most `max_words` words, ended at a sentence where one ends late.

    Args:
        body: Paragraphs joined by line feeds.
        max_words: The limit, counted as runs between white space.

    Returns:
        The body itself if it is short enough, else its beginning.
    """
    ends = [match.end() for match in re.finditer(r"\S+", body)]
    if len(ends) <= max_words:
        return body
    beginning = body[: ends[max_words - 1]]
    sentences = [end for end in _sentence_ends(body) if end <= len(beginning)]
    late = sentences and sentences[-1] >= len(beginning) // 2
    return beginning[: sentences[-1]] if late else beginning


def is_usable_query(query: str, qualified_name: str, body: str) -> bool:
    """Whether a summary asks for its document without naming it.

    It must have 4 to 30 words, 3 of them distinct and not common ("Return the value" has none);
    it must not hold the object's bare name, in any case, as a word or an identifier; and its
    words must not stand in a row in the body.

    Args:
        query: The summary.
        qualified_name: Dotted name whose last part is the object's own.
        body: The document's text.

    Returns:
        True if the summary serves as a query.
    """
    words = query_key(query).split()
    if not MIN_QUERY_WORDS <= len(words) <= MAX_QUERY_WORDS or not _is_prose(query):
        return False
    if _DEFINITION.match(query):
        return False
    if len({word for word in words if word not in _COMMON_WORDS}) < MIN_CONTENT_WORDS:
        return False
    name = bare_name(qualified_name).casefold()
    if name in words or name in _IDENTIFIER.findall(query.casefold()):
        return False
    return f" {' '.join(words)} " not in f" {query_key(body)} "


def bare_name(qualified_name: str) -> str:
    """The last part of a dotted name."""
    return qualified_name.rpartition(".")[2]


def query_key(text: str) -> str:
    """The words of a text, case folded, one blank between: equal keys are equal queries."""
    return " ".join(_WORD.findall(text.casefold()))


def _without_signatures(text: str) -> str:
    """Drop signature lines at the head, with the indented lines that continue them."""
    lines = text.splitlines()
    index = 0
    while index < len(lines) and _SIGNATURE.fullmatch(lines[index].strip()):
        # "D.pop(k) -> v.  Remove the key." keeps its prose: only what precedes it is signature.
        prose = _RESULT.search(lines[index])
        if prose:
            lines[index] = lines[index][prose.end() :]
            break
        index += 1
        while index < len(lines) and lines[index].startswith(" ") and lines[index].strip():
            index += 1
    return "\n".join(lines[index:])


def _prose_lines(lines: list[str]) -> list[str]:
    kept = []
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(">>>"):
            break
        if not _UNDERLINE.fullmatch(stripped) and not _DIRECTIVE.match(stripped):
            kept.append(stripped)
    return kept


def _without_markup(paragraph: str) -> str:
    paragraph = _ROLE.sub(r"\1", paragraph)
    paragraph = _FIELD.sub(r"\1:", paragraph)
    paragraph = _QUOTED.sub(lambda match: match[1] or match[2], paragraph)
    paragraph = _EMPHASIS.sub(r"\1", paragraph)
    return _QUOTED_CODE.sub(r"\1", paragraph).replace("::", ":").strip()


def _is_prose(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character.isspace() for character in paragraph)
    return letters >= MIN_LETTER_SHARE * len(paragraph)


def _is_code(lines: Sequence[str]) -> bool:
    return sum(bool(_CODE_LINE.match(line)) for line in lines) * 2 >= max(len(lines), 1)


def _first_sentence(paragraph: str) -> tuple[str, str]:
    end = next(iter(_sentence_ends(paragraph)), len(paragraph))
    return paragraph[:end], paragraph[end:].strip()


def _sentence_ends(text: str) -> list[int]:
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return [end for end in ends if not _ABBREVIATION.search(text[:end])]


def _one_line(paragraph: str) -> str:
    return " ".join(paragraph.split())
