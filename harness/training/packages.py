"""The packages under a folder, with their licences: only permissive ones are trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from harness.errors import BadInputError

# Identifiers of SPDX that ask for no more than a notice.
_PERMISSIVE = (
    "0bsd apache-2.0 blueoak-1.0.0 bsd-2-clause bsd-3-clause bsd-3-clause-open-mpi bsl-1.0"
    " cc0-1.0 cnri-python hpnd isc mit mit-0 mit-cmu ncsa psf-2.0 python-2.0 python-2.0.1"
    " unlicense zlib zpl-2.1"
)
PERMISSIVE = frozenset(_PERMISSIVE.split())
_CLASSIFIER = "License :: "
# Apache's exception to its own licence only adds permissions.
_OPERATORS = frozenset(("and", "or", "with", "llvm-exception"))
_PERMISSIVE_NAME = re.compile(
    r"(?i)\b(?:0?bsd|mit|apache|isc|psf|python software foundation|hpnd|historical permission|"
    r"zope public|zpl|unlicense|zlib|boost software|cc0|matplotlib|biopython)\b"
)
_OTHER_NAME = re.compile(
    r"(?i)\b(?:[al]?gpl|gpl-?v?\d|gnu|mpl|mozilla|eclipse|epl|cecill|eupl|cddl|proprietary|"
    r"commercial|non-?commercial|by-sa|by-nc|source-available|busl|business source)"
)
# A longer field is the licence's whole text, of which the first lines say which it is.
_LICENCE_HEAD = 300


@dataclass(frozen=True)
class Package:
    """A distribution and what its metadata says of its licence.

    Attributes:
        name: The distribution's name in its normal form, for instance `zope-interface`.
        version: The version.
        licence: What the metadata says, on one line; empty if they say nothing.
        permissive: Whether that allows training and passing on with no more than a notice.
        distribution: Its files and metadata.
    """

    name: str
    version: str
    licence: str
    permissive: bool
    distribution: Distribution


def find_packages(folder: Path) -> list[Package]:
    """All distributions under a folder, permissive or not, ordered by name.

    Args:
        folder: A folder that `pip install --target` has filled.

    Raises:
        BadInputError: If there is none.
    """
    found = {}
    for distribution in distributions(path=[str(folder)]):
        package = _package(distribution)
        found[package.name] = package
    if not found:
        raise BadInputError(f"{folder} holds no Python packages; fill it with: make corpus")
    return [found[name] for name in sorted(found)]


def licence_of(
    expression: str | None, licence: str | None, classifiers: Sequence[str]
) -> tuple[str, bool]:
    """What a distribution's metadata say of its licence, and whether that is permissive.

    An SPDX expression is believed before classifiers, and those before free text. All parts of an
    expression must be permissive, save that one alternative of a plain `A OR B` is enough; all
    classifiers must be.

    Args:
        expression: The field `License-Expression`.
        licence: The field `License`, a name or a whole text.
        classifiers: All classifiers.

    Returns:
        The licence on one line, and whether it is permissive. Nothing is not.
    """
    if expression:
        return expression, _is_permissive_expression(expression)
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith(_CLASSIFIER)]
    named = [name for name in named if name != "OSI Approved"]
    free = " ".join((licence or "")[:_LICENCE_HEAD].split())
    if named:
        # A name beside the classifiers can only take back what they say: "BSD, parts LGPL".
        names = [*named, free] if _OTHER_NAME.search(free) else named
        return ", ".join(names), all(map(_is_permissive_name, names))
    return free[:80], _is_permissive_name(free)


def fields(distribution: Distribution) -> dict[str, str]:
    """A distribution's metadata by the keys of PEP 566, classifiers a line each."""
    found = distribution.metadata.json
    return {
        key: "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        for key, value in found.items()
    }


def _package(distribution: Distribution) -> Package:
    metadata = fields(distribution)
    if not metadata.get("name"):
        folder = getattr(distribution, "_path", distribution.locate_file(""))
        raise BadInputError(f"{folder} has metadata without a Name; remove that folder")
    licence, permissive = licence_of(
        metadata.get("license_expression"),
        metadata.get("license"),
        metadata.get("classifier", "").splitlines(),
    )
    name = re.sub(r"[-_.]+", "-", metadata["name"]).lower()
    return Package(name, distribution.version, licence, permissive, distribution)


def _is_permissive_expression(expression: str) -> bool:
    alternatives = re.split(r"(?i)\sOR\s", expression) if "(" not in expression else [expression]
    return any(
        set(re.findall(r"[\w.+-]+", alternative.lower())) <= PERMISSIVE | _OPERATORS
        for alternative in alternatives
    )


def _is_permissive_name(name: str) -> bool:
    return bool(_PERMISSIVE_NAME.search(name)) and not _OTHER_NAME.search(name)
