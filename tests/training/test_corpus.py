"""The corpus of a few small packages, every line of which is worked out by hand."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInputError
from harness.evaluation.tasks.pydoc_corpus import near_duplicates
from harness.training.corpus import build_corpus, limit_words
from harness.training.corpus_duplicates import near_copies, repeated
from harness.training.documentation import Document
from tests.training.corpus_distributions import install

BOILED = "Every egg stays in the water until a clock has rung three times, then it is peeled."
FRIED = "Oil goes into an iron pan first, an egg follows, and salt is what comes at the very end."
QUOTED = "The list is kept in order, without having to sort it anew after each insertion of items."


def source(*docstrings: str) -> str:
    return "".join(f'def f{index}():\n    """{text}"""\n' for index, text in enumerate(docstrings))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Packages, and a library whose documentation one of them quotes."""
    packages, library = tmp_path / "packages", tmp_path / "library"
    library.mkdir()
    (library / "bisect.py").write_text(source(f"Keep a long list sorted.\n\n{QUOTED}"))
    install(
        packages,
        "boil",
        {
            "boil.py": source(
                f"Boil what hens have laid.\n\n{BOILED}",
                f"Insert while keeping order.\n\n{QUOTED}",
                f"Keep a long list sorted.\n\nHere it is a list of eggs by size. {FRIED}",
            )
        },
    )
    install(
        packages,
        "fry",
        {
            "fry.py": source(
                f"Boil what hens have laid!\n\n{BOILED}",
                "Fry what ducks have laid here. " + FRIED,
            )
        },
    )
    install(packages, "left", {"left.py": source("Copyleft")}, licence="License: GPLv3")
    return packages, library


def read_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_texts_and_pairs_are_those_that_are_new_and_not_the_librarys(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    packages, library = folders
    report = build_corpus(packages, tmp_path / "out", library=library)
    texts = read_lines(tmp_path / "out" / "text.jsonl")
    assert [(one["package"], one["name"]) for one in texts] == [("boil", "boil.f0")]
    assert texts[0]["text"] == f"Boil what hens have laid.\n{BOILED}"
    pairs = read_lines(tmp_path / "out" / "pairs.jsonl")
    assert pairs == [
        {
            "query": "Boil what hens have laid",
            "positive": BOILED,
            "package": "boil",
            "name": "boil.f0",
        }
    ]
    assert (report.packages, report.documents, report.pairs) == (2, 1, 1)
    assert report.words == sum(len(one["text"].split()) for one in texts)
    assert report.skipped == {"left": "licence: GPLv3"}
    assert report.removed == {"text": {"near duplicate": 1, "same summary": 1}, "pair": {}}


def test_the_manifest_says_where_everything_comes_from(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    packages, library = folders
    build_corpus(packages, tmp_path / "out", library=library)
    manifest: dict[str, Any] = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["packages"]["boil"] == {
        "version": "1.0",
        "licence": "MIT",
        "documents": 1,
        "pairs": 1,
        "words": manifest["words"],
    }
    assert manifest["packages"]["fry"]["documents"] == 0
    assert manifest["skipped"] == {"left": "licence: GPLv3"}
    assert {(one["reason"], one["library"]) for one in manifest["examples"]} == {
        ("near duplicate", "bisect.f0"),
        ("same summary", "bisect.f0"),
    }
    assert {one["name"] for one in manifest["examples"]} == {"boil.f1", "boil.f2"}
    for name in ("text.jsonl", "pairs.jsonl"):
        content = (tmp_path / "out" / name).read_bytes()
        assert manifest["sha256"][name] == hashlib.sha256(content).hexdigest()


def test_the_same_packages_give_the_same_bytes_in_any_number_of_processes(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    packages, library = folders
    build_corpus(packages, tmp_path / "one", library=library)
    build_corpus(packages, tmp_path / "two", library=library, processes=2)
    for name in ("text.jsonl", "pairs.jsonl", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_packages_without_documentation_are_refused(tmp_path: Path) -> None:
    install(tmp_path / "packages", "mute", {"mute.py": "x = 1\n"})
    with pytest.raises(BadInputError, match="document nothing; install others there: make corpus"):
        build_corpus(tmp_path / "packages", tmp_path / "out", library=tmp_path)
    assert not (tmp_path / "out").exists()


def document(package: str, name: str, words: int) -> Document:
    return Document(package, name, " ".join(["word"] * words), "", "")


def test_no_package_has_more_words_than_the_limit() -> None:
    documents = [document("large", f"large.{index}", 10) for index in range(50)]
    documents += [document("small", "small.0", 10)]
    kept = limit_words(documents, 105)
    assert [one.package for one in kept] == ["large"] * 10 + ["small"]
    assert kept == sorted(kept, key=documents.index)
    assert kept == limit_words(documents, 105)
    # By hash: neither the first ten nor the last.
    assert kept[:10] not in (documents[:10], documents[40:50])


def test_a_text_that_repeats_three_runs_in_five_is_repeated() -> None:
    first = "a b c d e f g h i j k l m n"  # 10 runs of five words
    seven, six = "a b c d e f g h i j k x y z", "a b c d e f g h i j w x y z"
    assert repeated([first, seven], slot_bits=20) == [False, True]
    assert repeated([first, six], slot_bits=20) == [False, False]
    assert repeated([first, "Z Y X", "z, y, x", "..."], slot_bits=20) == [
        False,
        False,
        True,
        True,
    ]


def test_near_copies_are_found_as_a_comparison_of_all_with_all_finds_them() -> None:
    sentence = "the of a file is read and written to disk when it has been closed by its owner"
    words = sentence.split()
    texts = []
    for index in range(60):
        rotation = index % 6
        text = [*words[rotation:], *words[:rotation]]
        text[index % 7] = f"w{index % 4}"
        text[10] = f"v{index % 3}"
        texts.append(" ".join(text[: 12 + index % 5]))
    alike = near_duplicates(texts)
    expected: list[bool] = []
    for index in range(len(texts)):
        expected.append(any(not expected[other] for other in alike[index] if other < index))
    assert near_copies(texts) == expected
    assert 0 < sum(expected) < len(texts)
