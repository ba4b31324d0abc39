"""Where the documentation comes from: sources read by `ast`, a few C modules, and help topics.

No module of the library is imported but those of `C_MODULES`, which the interpreter has loaded or
loads without side effects, and `pydoc_data.topics`, which is one dictionary.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

C_MODULES = ("builtins", "gc", "itertools", "math", "sys")
# Test suites, and what distributors split off or leave out.
_NOT_EVERYWHERE = "idlelib turtledemo lib2to3 tkinter distutils ensurepip macholib"
LEFT_OUT = frozenset(("test", "tests", *_NOT_EVERYWHERE.split()))

_HEADING = re.compile(r"(?m)^(?P<title>\S.*)\n(?P<rule>[*=\-~^\"])(?P=rule){3,}$")
_ENTRY = re.compile(
    r"(?m)^(?:class |async )?(?P<name>[A-Za-z_][\w.]*)(?P<call>\(.*)?\n(?=\n?   \S)"
)


class Docstring(NamedTuple):
    """One object's documentation.

    Attributes:
        name: Qualified dotted name.
        kind: `module`, `class`, `function`, `method` or `topic`.
        text: As `inspect.cleandoc` leaves it.
    """

    name: str
    kind: str
    text: str


def source_files(root: Path) -> list[Path]:
    """The library's own Python files below `root`, in an order that no file system decides.

    Args:
        root: The standard library's folder.

    Returns:
        Files whose top-level name is in `sys.stdlib_module_names` and no part of whose path is left
        out; empty if the library has no source files here.
    """
    found: list[tuple[str, Path]] = []
    for entry in root.iterdir() if root.is_dir() else ():
        top_level = entry.name.partition(".")[0]
        if top_level in sys.stdlib_module_names:
            files = entry.rglob("*.py") if entry.is_dir() else [entry]
            found.extend((file.relative_to(root).as_posix(), file) for file in files)
    return [file for name, file in sorted(found) if _is_wanted(name)]


def standard_library_root() -> Path:
    """The folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def read_docstrings(root: Path) -> Iterator[Docstring]:
    """Every documented object of the library: sources, then `C_MODULES`, then help topics.

    Args:
        root: The standard library's folder.

    Yields:
        Docstrings in a fixed order; names may repeat (a function defined once per platform).
    """
    for file in source_files(root):
        yield from parse_source(_module_name(file.relative_to(root)), file.read_bytes())
    for module in C_MODULES:
        yield from _from_c_module(module)
    yield from _topics()


def parse_source(module: str, source: bytes) -> Iterator[Docstring]:
    """The docstrings of one module's source: its own, and those of classes and functions.

    Functions inside functions are not documentation that anyone can look up and are left out.

    Args:
        module: The module's dotted name.
        source: The file's bytes.

    Yields:
        Docstrings in the order of the source; none if it does not parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            return
    yield from _documented(tree, module, "module")
    yield from _members(tree.body, module, inside_class=False)


def split_topic(name: str, text: str) -> Iterator[Docstring]:
    """One help topic as several pieces of documentation.

    A section is a topic whose heading is its summary; an entry in it (`object.__len__(self)` over
    an indented description) stands for that method.

    Args:
        name: The topic's key.
        text: The topic, in the plain text that Sphinx writes.

    Yields:
        The sections and entries, in order.
    """
    headings = list(_HEADING.finditer(text))
    starts = [heading.end() for heading in headings] or [0]
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    titles = [heading["title"] for heading in headings] or [""]
    for title, start, end in zip(titles, starts, ends, strict=True):
        plain, entries = _split_entries(text[start:end])
        if plain.strip():
            # The blank line makes the heading a paragraph of its own.
            yield Docstring(f"topics.{name}", "topic", f"{title}.\n\n{plain.strip()}")
        for entry_name, kind, entry in entries:
            yield Docstring(f"topics.{name}.{entry_name}", kind, inspect.cleandoc(entry))


def _split_entries(section: str) -> tuple[str, list[tuple[str, str, str]]]:
    plain: list[str] = []
    entries: list[tuple[str, str, str]] = []
    position = 0
    for match in _ENTRY.finditer(section):
        if match.start() < position:
            continue
        plain.append(section[position : match.start()])
        block = re.compile(r"(?:[ ]{3}.*\n?|\s*\n)*").match(section, match.end())
        position = block.end() if block else match.end()
        kind = "method" if match["call"] else "topic"
        entries.append((match["name"], kind, section[match.end() : position].strip("\n")))
    return "".join([*plain, section[position:]]), entries


def _members(body: Iterable[ast.stmt], scope: str, *, inside_class: bool) -> Iterator[Docstring]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            name = f"{scope}.{node.name}"
            yield from _documented(node, name, "class")
            yield from _members(node.body, name, inside_class=True)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kind = "method" if inside_class else "function"
            yield from _documented(node, f"{scope}.{node.name}", kind)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _members(_nested(node), scope, inside_class=inside_class)


def _nested(node: ast.If | ast.Try | ast.With) -> Iterator[ast.stmt]:
    yield from node.body
    if isinstance(node, ast.Try):
        for handler in node.handlers:
            yield from handler.body
    if not isinstance(node, ast.With):
        yield from node.orelse


def _documented(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str, kind: str
) -> Iterator[Docstring]:
    text = ast.get_docstring(node)
    if text:
        yield Docstring(name, kind, text)


def _from_c_module(name: str) -> Iterator[Docstring]:
    try:
        module = importlib.import_module(name)
    except ImportError:
        return
    for member_name, member in sorted(vars(module).items()):
        # Other code may have put objects of its own into these modules.
        if getattr(member, "__module__", None) != name:
            continue
        qualified = f"{name}.{member_name}"
        if inspect.isclass(member):
            yield from _inspected(member, qualified, "class")
            for attribute, value in sorted(vars(member).items()):
                if _is_method(value):
                    yield from _inspected(value, f"{qualified}.{attribute}", "method")
        elif inspect.isbuiltin(member):
            yield from _inspected(member, qualified, "function")


def _is_method(value: object) -> bool:
    return inspect.isroutine(value) or isinstance(value, classmethod | staticmethod)


def _inspected(value: object, name: str, kind: str) -> Iterator[Docstring]:
    text = getattr(value, "__doc__", None)
    if isinstance(text, str) and text.strip():
        yield Docstring(name, kind, inspect.cleandoc(text))


def _topics() -> Iterator[Docstring]:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return
    for name in sorted(topics):
        yield from split_topic(name, topics[name])


def _is_wanted(name: str) -> bool:
    parts = name.removesuffix(".py").split("/")
    return name.endswith(".py") and LEFT_OUT.isdisjoint(parts) and "__pycache__" not in parts


def _module_name(path: Path) -> str:
    parts = list(path.with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
