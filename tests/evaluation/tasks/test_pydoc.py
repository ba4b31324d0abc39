"""The embedded task: cleaning, splitting, masking, merging, the real build and its cache."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import BadInputError
from harness.evaluation.tasks import pydoc
from harness.evaluation.tasks.local import Collection
from harness.evaluation.tasks.pydoc_corpus import (
    Entry,
    assemble,
    build_collection,
    choose,
    make_entries,
    near_duplicates,
)
from harness.evaluation.tasks.pydoc_sources import (
    Docstring,
    parse_source,
    source_files,
    split_topic,
)
from harness.evaluation.tasks.pydoc_text import (
    Split,
    bare_name,
    cut,
    is_usable_query,
    mask_name,
    paragraphs,
    query_key,
    split_summary,
)

BODY = (
    "It waits for the worker threads, drops what they left in the queue and hands every open file "
    "back to the system before the call comes to its end."
)


@pytest.fixture(scope="module")
def collection() -> Collection:
    return build_collection()


# Sources


def test_parse_source_names_every_kind_of_object_and_skips_nested_functions() -> None:
    source = b'''"""The module."""
import sys
if sys.platform == "win32":
    def spawn():
        """On Windows."""
else:
    def spawn():
        """Elsewhere."""
        def inner():
            """Nobody can look this up."""
class Pool:
    """A class.

    With a body."""
    async def join(self):
        """A method."""
    def undocumented(self):
        return 1
'''
    assert list(parse_source("jobs", source)) == [
        Docstring("jobs", "module", "The module."),
        Docstring("jobs.spawn", "function", "On Windows."),
        Docstring("jobs.spawn", "function", "Elsewhere."),
        Docstring("jobs.Pool", "class", "A class.\n\nWith a body."),
        Docstring("jobs.Pool.join", "method", "A method."),
    ]


def test_parse_source_gives_nothing_for_source_that_does_not_parse() -> None:
    assert list(parse_source("bad", b"def (:")) == []


def test_split_topic_separates_sections_and_entries() -> None:
    topic = (
        "Basic customization\n*******************\n\nIntroduction.\n\n"
        "object.__len__(self)\n\n   Called to measure.\n\n   Must be positive.\n\n"
        "Finalization\n============\n\nLast words.\n"
    )
    assert list(split_topic("customization", topic)) == [
        Docstring("topics.customization", "topic", "Basic customization.\n\nIntroduction."),
        Docstring(
            "topics.customization.object.__len__",
            "method",
            "Called to measure.\n\nMust be positive.",
        ),
        Docstring("topics.customization", "topic", "Finalization.\n\nLast words."),
    ]


def test_source_files_are_the_library_s_own_in_name_order(tmp_path: Path) -> None:
    wanted = ["json/decoder.py", "json/tool.py", "shlex.py"]
    others = ["json/tests/case.py", "idlelib/run.py", "site-packages/pip.py", "sitecustomize.py"]
    for name in [*reversed(wanted), *others, "json/notes.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [file.relative_to(tmp_path).as_posix() for file in source_files(tmp_path)] == wanted
    assert source_files(tmp_path / "absent") == []


# Text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Close it.\n\nAnd flush\nfirst.", Split("Close it", "And flush first.")),
        ("Close it,\nreally. And flush. Twice.", Split("Close it, really", "And flush. Twice.")),
        ("Use e.g. Unix sockets. Or not.", Split("Use e.g. Unix sockets", "Or not.")),
        ("max(a, b) -> value\nmax(it) -> value\n\nPick one. Now.", Split("Pick one", "Now.")),
        ("S.find(sub) -> int\n\nSeek it.\n\nOr -1.", Split("Seek it", "")),
        ("D.update(E) -> None.  Update D from E and F. If E is here.", None),
        ("Only a summary", Split("Only a summary", "")),
        ("", Split("", "")),
    ],
)
def test_split_summary(text: str, expected: Split | None) -> None:
    assert split_summary(text) == (expected or Split("Update D from E and F", "If E is here."))


def test_paragraphs_keep_prose_and_drop_everything_else() -> None:
    text = """Read :class:`~io.Reader` and ``bytes`` *quickly*.

Example::

    reader = Reader(file)
    reader.read(10)

Some prose before
>>> Reader(file)
<Reader object>

Notes
-----
Never blocks.

+---+---+
| 1 | 2 |
+---+---+

.. versionadded:: 3.4

Changed in version 3.5: it is faster.

:param size: how many
"""
    assert paragraphs(text) == [
        "Read io.Reader and bytes quickly.",
        "Some prose before",
        "Notes\nNever blocks.",
        "size: how many",
    ]


@pytest.mark.parametrize(
    ("text", "name", "kind", "expected"),
    [
        ("Like make_dirs, but slow.", "os.make_dirs", "function", "Like this function, but slow."),
        ("The os.make_dirs() function", "os.make_dirs", "function", "this function"),
        ("remake_dirs, make_dirs2", "os.make_dirs", "function", "remake_dirs, make_dirs2"),
        ("A Thread runs; Threads wait", "x.Thread", "class", "this class runs; Threads wait"),
        (
            "close() closes; close the file; f.close(1)",
            "io.File.close",
            "method",
            "this method closes; close the file; this method(1)",
        ),
    ],
)
def test_mask_name(text: str, name: str, kind: str, expected: str) -> None:
    assert mask_name(text, name, kind) == expected


def test_cut_ends_at_a_late_sentence_or_at_the_last_word() -> None:
    assert cut("One two. Three", 3) == "One two. Three"
    assert cut("One two three. Four five six", 4) == "One two three."
    assert cut("One. Two three four five six", 5) == "One. Two three four five"
    assert cut("a b\nc d", 3) == "a b\nc"


@pytest.mark.parametrize(
    ("query", "name", "usable"),
    [
        ("Remove a directory tree from disk", "shutil.rmtree", True),
        ("Return the value", "x.get", False),
        ("Return the value of this object if it is set", "x.get", False),
        ("Close the underlying network socket", "io.close", False),
        ("Call rmtree on a network drive", "shutil.rmtree", False),
        ("Use shutil.rmtree() on a network drive", "shutil.rmtree", False),
        ("Closes the underlying network socket", "io.close", True),
        ("token = quoted string and comment", "x.get_token", False),
        ("Waits for THE worker, threads", "x.join", False),
        ("word " * 31, "x.join", False),
    ],
)
def test_is_usable_query(query: str, name: str, usable: bool) -> None:
    assert is_usable_query(query, name, BODY) is usable


# Merging and judging


def _document(name: str, summary: str, body: str = BODY) -> Docstring:
    return Docstring(name, "function", f"{summary}.\n\n{body}")


def test_make_entries_merges_equal_bodies_and_leaves_short_ones_out() -> None:
    entries = make_entries(
        [
            _document("a.stop", "Shut the whole pool of threads down"),
            _document("b.stop", "Shut the whole pool of threads down"),
            _document("c.stop", "Halt every background worker", BODY.upper()),
            _document("d.stop", "Halt every background worker", "Too short."),
        ]
    )
    summaries = ("Shut the whole pool of threads down", "Halt every background worker")
    assert entries == [Entry("a.stop", BODY, ("a.stop", "b.stop", "c.stop"), summaries)]


def test_make_entries_asks_nothing_of_a_body_under_many_summaries() -> None:
    subjects = ["a frozen web server", "a frozen mail client", "a frozen text editor"]
    made = make_entries([_document(f"{s[-3:]}.f", f"Restart {s}") for s in subjects])
    assert made == [Entry("ver.f", BODY, ("ver.f", "ent.f", "tor.f"), ())]


def test_make_entries_numbers_a_name_that_repeats() -> None:
    copies = [_document("a.f", "On Linux"), _document("a.f", "On Windows", f"{BODY} Twice.")]
    made = make_entries(copies)
    assert [entry.document_id for entry in made] == ["a.f", "a.f#2"]


def test_near_duplicates_by_jaccard_of_three_word_shingles() -> None:
    # 8 shingles each. One changed last word: 7 shared of 9. Three: 5 of 11.
    base = "one two three four five six seven eight nine ten"
    close = "One two three, four five six seven eight nine TEN! eleven".replace(" eleven", "")
    changed = "one two three four five six seven eight nine zero"
    far = "one two three four five six seven zero zero zero"
    assert near_duplicates([base, far, changed, close, "else"]) == [[2, 3], [], [0, 3], [0, 2], []]


def _entry(document_id: str, text: str, *summaries: str) -> Entry:
    return Entry(document_id, text, (document_id,), summaries)


def test_assemble_judges_near_duplicates_and_shared_summaries() -> None:
    copy = BODY.replace("its end", "an end")
    entries = [
        _entry("x.a", BODY, "Stop running worker threads"),
        _entry("x.b", copy),
        _entry("x.c", "Other text", "stop running worker threads!", "Begin another chess game"),
    ]
    made = assemble(entries)
    assert made.documents == [("x.a", "", BODY), ("x.b", "", copy), ("x.c", "", "Other text")]
    assert made.queries == [
        ("q-x.a", "Stop running worker threads"),
        ("q-x.c", "Begin another chess game"),
    ]
    assert made.qrels == {"q-x.a": {"x.a": 1, "x.b": 1, "x.c": 1}, "q-x.c": {"x.c": 1}}
    assert len(assemble(entries, max_queries=1).queries) == 1


def test_assemble_drops_a_summary_that_names_any_relevant_object() -> None:
    copy = BODY.replace("its end", "an end")
    summary = "Stop running worker threads"
    assert len(assemble([_entry("x.halt", BODY, summary), _entry("x.end", copy)]).queries) == 1
    assert assemble([_entry("x.halt", BODY, summary), _entry("x.stop", copy)]).queries == []
    shared = Entry("x.halt", BODY, ("x.halt", "x.stop"), (summary,))
    assert assemble([shared]).queries == []


def test_assemble_gives_two_queries_of_one_document_two_ids() -> None:
    made = assemble([_entry("a", BODY, "Stop running worker threads", "Halt every busy worker")])
    assert made.queries == [
        ("q-a", "Halt every busy worker"),
        ("q-a~2", "Stop running worker threads"),
    ]


def test_choose_is_by_hash_and_ordered_by_id() -> None:
    # sha256("a") = ca97…, "b" = 3e23…, "c" = 2e7d…
    entries = [_entry(name, "") for name in "abc"]
    assert [entry.document_id for entry in choose(entries, 2)] == ["b", "c"]
    assert choose(list(reversed(entries)), 2) == choose(entries, 2)


# The real collection


def test_counts_are_within_bounds(collection: Collection) -> None:
    assert 1_000 <= len(collection.documents) <= 2_000
    assert 300 <= len(collection.queries) <= 500
    texts = [text for _, _, text in collection.documents]
    assert min(len(query_key(text).split()) for text in texts) >= 15
    words = [len(text.split()) for text in texts]
    assert max(words) <= 120
    # A word is about one and a half word pieces.
    assert sum(words) < 110_000


def test_ids_and_texts_are_unique_and_titles_empty(collection: Collection) -> None:
    ids, titles, texts = zip(*collection.documents, strict=True)
    assert len(set(ids)) == len(ids)
    assert len({query_key(text) for text in texts}) == len(texts)
    assert set(titles) == {""}
    query_ids, query_texts = zip(*collection.queries, strict=True)
    assert len(set(query_ids)) == len(query_ids)
    assert len({query_key(text) for text in query_texts}) == len(query_texts)


def test_every_query_is_judged_and_every_judged_document_exists(collection: Collection) -> None:
    ids = {document_id for document_id, _, _ in collection.documents}
    assert set(collection.qrels) == {query_id for query_id, _ in collection.queries}
    assert all(grades and grades.keys() <= ids for grades in collection.qrels.values())
    assert {grade for grades in collection.qrels.values() for grade in grades.values()} == {1}


def test_no_query_names_or_repeats_its_document(collection: Collection) -> None:
    texts = {document_id: text for document_id, _, text in collection.documents}
    for query_id, query in collection.queries:
        for document_id in collection.qrels[query_id]:
            name = bare_name(document_id.partition("#")[0]).casefold()
            assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", query.casefold()), query_id
            assert query_key(query) not in query_key(texts[document_id]), query_id


def test_areas_of_the_library_are_all_present(collection: Collection) -> None:
    areas = {document_id.partition(".")[0] for document_id, _, _ in collection.documents}
    assert {"asyncio", "builtins", "email", "logging", "statistics", "topics", "xml"} <= areas
    assert len(areas) > 80


def test_the_build_is_the_same_under_any_hash_seed_and_locale(collection: Collection) -> None:
    code = (
        "from harness.evaluation.tasks.pydoc_corpus import build_collection as build;"
        "print(build().revision())"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": "C", "PYTHONUTF8": "0"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert finished.stdout.strip() == collection.revision()


def test_a_library_without_source_files_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "harness.evaluation.tasks.pydoc_corpus.read_docstrings",
        lambda root: parse_source("only", b'"""One."""'),
    )
    with pytest.raises(BadInputError, match=r"needs 1000 documents .* gives 0; install Python"):
        build_collection(tmp_path)


# The task and its cache


def test_task_is_built_once_and_read_back_equal(
    tmp_path: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pydoc, "build_collection", lambda: collection)
    built = pydoc.pydoc_task(tmp_path / "new")
    (cached,) = (tmp_path / "new").iterdir()
    assert cached.name.startswith("PyDocRetrieval-")
    monkeypatch.setattr(pydoc, "build_collection", lambda: pytest.fail("was built again"))
    read = pydoc.pydoc_task(tmp_path / "new")
    assert read.metadata.name == "PyDocRetrieval"
    assert read.metadata.main_score == "ndcg_at_10"
    assert read.metadata.revision == built.metadata.revision == collection.revision()
    data = read.dataset["default"]["test"]
    assert data["corpus"].to_list() == [
        {"id": document_id, "title": "", "text": text}
        for document_id, _, text in collection.documents
    ]
    assert data["relevant_docs"] == collection.qrels


def test_another_interpreter_or_builder_has_another_cache_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = pydoc._cache_key()
    assert own == pydoc._cache_key()
    monkeypatch.setattr(pydoc, "__file__", str(tmp_path / "pydoc.py"))
    (tmp_path / "pydoc_text.py").write_text("changed")
    builder = pydoc._cache_key()
    monkeypatch.setattr(sys, "version", "3.99.0 (main)")
    assert len({own, builder, pydoc._cache_key()}) == 3


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_a_damaged_cache_file_is_bad_input_with_its_remedy(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = assemble([_entry("a", BODY, "Stop running worker threads")])
    monkeypatch.setattr(pydoc, "build_collection", lambda: small)
    pydoc.pydoc_task(tmp_path)
    (cached,) = tmp_path.iterdir()
    content = cached.read_bytes()
    damaged = {
        "truncated": content[:-9],
        "changed": content.replace(b"Stop", b"Halt"),
        "empty": b"",
    }
    cached.write_bytes(damaged[damage])
    with pytest.raises(BadInputError) as caught:
        pydoc.pydoc_task(tmp_path)
    expected = f"{cached}: the cached PyDocRetrieval is damaged; delete it and run again"
    assert str(caught.value) == expected


def test_a_cache_that_is_no_folder_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match=r"cannot be read .*; delete it or choose another"):
        pydoc.pydoc_task(tmp_path / "file")
