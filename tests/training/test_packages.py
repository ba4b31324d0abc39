"""Which distributions there are under a folder, and which licences are permissive."""

from pathlib import Path

import pytest

from harness.errors import BadInputError
from harness.training.packages import find_packages, licence_of
from tests.training.corpus_distributions import install


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("GPL-2.0-only OR MIT", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("(MIT OR GPL-2.0-only)", False),  # no precedence is read: all parts must be permissive
        ("MIT AND LGPL-2.1-only", False),
        ("MPL-2.0", False),
        ("LicenseRef-Proprietary", False),
    ],
)
def test_an_expression_is_permissive_if_one_alternative_is_in_all_parts(
    expression: str, permissive: bool
) -> None:
    assert licence_of(expression, None, []) == (expression, permissive)


def test_an_expression_is_believed_before_classifiers() -> None:
    classifiers = ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"]
    assert licence_of("MIT", "GPL", classifiers) == ("MIT", True)


@pytest.mark.parametrize(
    ("licence", "classifiers", "expected"),
    [
        ("", ["License :: OSI Approved :: BSD License"], ("BSD License", True)),
        (
            "BSD",
            ["License :: OSI Approved", "License :: OSI Approved :: MIT License"],
            ("MIT License", True),
        ),
        (
            "",
            [
                "License :: OSI Approved :: MIT License",
                "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)",
            ],
            ("MIT License, Mozilla Public License 2.0 (MPL 2.0)", False),
        ),
        (
            "BSD, parts LGPL",
            ["License :: OSI Approved :: BSD License"],
            ("BSD License, BSD, parts LGPL", False),
        ),
        ("Apache License 2.0", ["Programming Language :: Python"], ("Apache License 2.0", True)),
        ("Freely distributable", [], ("Freely distributable", False)),
        ("AGPLv3", [], ("AGPLv3", False)),
        ("CC-BY-NC 4.0, code MIT", [], ("CC-BY-NC 4.0, code MIT", False)),
        (None, [], ("", False)),
    ],
)
def test_names_are_read_where_there_is_no_expression(
    licence: str | None, classifiers: list[str], expected: tuple[str, bool]
) -> None:
    assert licence_of(None, licence, classifiers) == expected


def test_a_whole_text_is_known_by_its_beginning() -> None:
    text = "MIT License\n\nPermission is hereby granted, free of charge" + " ..." * 200 + " GPL"
    licence, permissive = licence_of(None, text, [])
    assert permissive
    assert licence.startswith("MIT License Permission is hereby granted")
    assert len(licence) == 80


def test_packages_are_found_by_name_with_the_others_marked(tmp_path: Path) -> None:
    install(tmp_path, "Zope.Thing", {"thing.py": ""}, licence="License-Expression: ZPL-2.1")
    install(tmp_path, "copyleft", {"left.py": ""}, licence="License: GPLv3")
    found = find_packages(tmp_path)
    assert [(one.name, one.version, one.licence, one.permissive) for one in found] == [
        ("copyleft", "1.0", "GPLv3", False),
        ("zope-thing", "1.0", "ZPL-2.1", True),
    ]


def test_an_empty_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"holds no Python packages; fill it with: make corpus"):
        find_packages(tmp_path)


def test_metadata_without_a_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "some-1.0.dist-info").mkdir()
    (tmp_path / "some-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\n")
    with pytest.raises(BadInputError, match=r"some-1\.0\.dist-info has metadata without a Name; "):
        find_packages(tmp_path)
