from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import tracemalloc
from pathlib import Path

import mteb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mteb.abstasks.retrieval import AbsTaskRetrieval

from harness.errors import BadInputError
from harness.evaluation.tasks.folder import folder_task, read_collection

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).parents[3] / "../shared"))

GOOD = {
    "corpus.jsonl": b'{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two"}\n',
    "queries.jsonl": b'{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "second"}\n',
    "qrels/test.tsv": b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t0\n",
}


def write(folder: Path, files: dict[str, bytes | None]) -> Path:
    for name, content in files.items():
        if content is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder


def refusal(folder: Path, **options: str) -> str:
    with pytest.raises(BadInputError) as caught:
        read_collection(folder, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    message.encode()
    return message


def test_a_literal_folder_is_read_whole(tmp_path):
    collection = read_collection(write(tmp_path, GOOD), split="test", empty_text="refuse")
    assert collection.documents == (("d1", "T", "one"), ("d2", "", "two"))
    assert collection.queries == (("q1", "first"), ("q2", "second"))
    assert collection.qrels == {"q1": {"d1": 1}, "q2": {"d2": 0}}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({name: b"\xef\xbb\xbf" + text for name, text in GOOD.items()}, id="BOM"),
        pytest.param({n: text.replace(b"\n", b"\r\n") for n, text in GOOD.items()}, id="CRLF"),
        pytest.param({name: text + b"\n \r\n\n" for name, text in GOOD.items()}, id="blank ends"),
        pytest.param({name: text.rstrip() for name, text in GOOD.items()}, id="no line end"),
        pytest.param({"qrels/test.tsv": b"q1\td1\t1\nq2\td2\t0\n"}, id="qrels without header"),
        pytest.param({"qrels/test.tsv": b"\nq1\td1\t1.0\nq2\td2\t 0.\n"}, id="grades of a float"),
        pytest.param({"qrels/test.tsv": b"q1\td1\t1\nq1\td1\t1\nq2\td2\t0"}, id="same row twice"),
        pytest.param(
            {"queries.jsonl": GOOD["queries.jsonl"] + b'{"_id": "q3", "text": " "}'},
            id="blank query without judgement",
        ),
        pytest.param(
            {"corpus.jsonl": GOOD["corpus.jsonl"].replace(b'"d2",', b'"d2", "title": null,')},
            id="null title",
        ),
        pytest.param(
            {"queries.jsonl": GOOD["queries.jsonl"].replace(b"}", b', "title": 5, "x": [1]}')},
            id="other fields",
        ),
        pytest.param(
            {
                "corpus.jsonl": None,
                "queries.jsonl": None,
                "corpus.jsonl.gz": gzip.compress(GOOD["corpus.jsonl"]),
                "queries.jsonl.gz": gzip.compress(GOOD["queries.jsonl"]),
            },
            id="gzip",
        ),
    ],
)
def test_harmless_variants_read_the_same(tmp_path, files):
    expected = read_collection(write(tmp_path / "good", GOOD))
    assert read_collection(write(tmp_path / "variant", GOOD | files)) == expected


def test_integer_ids_become_strings(tmp_path):
    folder = write(
        tmp_path,
        {
            "corpus.jsonl": b'{"_id": 7, "text": "one"}',
            "queries.jsonl": b'{"_id": -1, "text": "first"}',
            "qrels/test.tsv": b"-1\t7\t2\n",
        },
    )
    collection = read_collection(folder)
    assert collection.documents == (("7", "", "one"),)
    assert collection.qrels == {"-1": {"7": 2}}


def test_the_grade_of_spam_is_that_of_what_is_irrelevant(tmp_path):
    """pytrec_eval writes beyond its memory at grades below -1."""
    rows = "q1\td1\t2\nq1\td2\t-2\n"
    folder = write(tmp_path, GOOD | {QRELS: HEADER + rows.encode()})
    assert read_collection(folder).qrels == {"q1": {"d1": 2, "d2": -1}}


def test_only_judged_queries_are_kept_in_the_order_of_the_queries_file(tmp_path):
    rows = "".join(f'{{"_id": "q{i}", "text": "t"}}\n' for i in range(5)).encode()
    qrels = b"query-id\tcorpus-id\tscore\nq3\td1\t2\nq1\td2\t-1\n"
    folder = write(tmp_path, GOOD | {"queries.jsonl": rows, "qrels/dev.tsv": qrels})
    collection = read_collection(folder, split="dev")
    assert [query for query, _ in collection.queries] == ["q1", "q3"]
    assert collection.qrels == {"q3": {"d1": 2}, "q1": {"d2": -1}}


def test_empty_texts_are_kept_on_request(tmp_path):
    files = {
        "corpus.jsonl": b'{"_id": "d1", "text": ""}\n{"_id": "d2", "title": " ", "text": "\\t"}\n',
        "queries.jsonl": b'{"_id": "q1", "text": ""}\n{"_id": "q2", "text": "second"}\n',
    }
    collection = read_collection(write(tmp_path, GOOD | files), empty_text="keep")
    assert collection.documents == (("d1", "", ""), ("d2", " ", "\t"))
    assert collection.queries[0] == ("q1", "")


CORPUS, QUERIES, QRELS = GOOD
DOCUMENT = b'{"_id": "d1", "text": "one"}\n'
HEADER = b"query-id\tcorpus-id\tscore\n"
BLANK_QUERY = b'\n{"_id": "q1", "text": ""}\n{"_id": "q2", "text": "second"}\n'

# (what is wrong, file, its content, line number, words of the fault and of the remedy)
BAD_LINES = [
    ("not JSON", CORPUS, DOCUMENT + b"{nonsense}\n", 2, ["not valid JSON", "one object a line"]),
    ("cut JSON", CORPUS, DOCUMENT + b'{"_id": "d2", "te', 2, ["not valid JSON", "one object"]),
    ("JSON array", CORPUS, b'\n["d1", "one"]\n', 2, ["an array", "one object a line"]),
    ("JSON string", QUERIES, b'"q1"\n', 1, ["a string", "one object a line"]),
    ("two objects", QUERIES, b'{"_id": "q1", "text": ""} {}', 1, ["Extra data", "one object"]),
    ("deep JSON", CORPUS, b"[" * 100_000, 1, ["not valid JSON", "one object a line"]),
    ("long number", CORPUS, b'{"_id": ' + b"1" * 9999 + b"}", 1, ["not valid JSON", "object"]),
    ("no document id", CORPUS, DOCUMENT + b'{"id": "d2", "text": "two"}', 2, ['no "_id"', "add"]),
    ("no document text", CORPUS, b'{"_id": "d1", "title": "T"}', 1, ['no "text"', "add"]),
    ("no query text", QUERIES, b'{"_id": "q1", "query": "first"}', 1, ['no "text"', "add"]),
    ("empty id", CORPUS, b'{"_id": "", "text": "one"}', 1, ['"_id" is empty', "give"]),
    ("boolean id", CORPUS, b'{"_id": true, "text": "one"}', 1, ["a boolean", "write a string"]),
    ("fractional id", QUERIES, b'{"_id": 1.5, "text": "one"}', 1, ["a number", "write a string"]),
    ("null text", CORPUS, b'{"_id": "d1", "text": null}', 1, ["null", "write a string"]),
    ("text list", QUERIES, b'{"_id": "q1", "text": ["a"]}', 1, ["an array", "write a string"]),
    ("title object", CORPUS, b'{"_id":"d","title":{},"text":""}', 1, ["an object", "string"]),
    ("same document", CORPUS, b"\n" + DOCUMENT * 2, 3, ["'d1'", "on line 2", "remove"]),
    ("same integer id", CORPUS, DOCUMENT.replace(b'"d1"', b"1") * 2, 2, ["'1'", "remove"]),
    ("same query", QUERIES, b'{"_id":"q","text":"a"}\n' * 2, 2, ["'q'", "on line 1", "remove"]),
    ("Latin-1", CORPUS, DOCUMENT + b'{"_id": "d2", "text": "caf\xe9"}', 2, ["0xe9", "convert"]),
    ("UTF-16", QUERIES, '{"_id": "q1"}'.encode("utf-16"), 1, ["not UTF-8", "convert"]),
    ("Latin-1 qrels", QRELS, HEADER + b"q\xe9\td1\t1\n", 2, ["not UTF-8", "convert"]),
    ("raw NUL", CORPUS, b'{"_id": "d1", "text": "a\0b"}', 1, ["not valid JSON", "write"]),
    ("NUL in text", CORPUS, rb'{"_id": "d1", "text": "a\u0000b"}', 1, ["NUL", "remove"]),
    ("NUL in id", QUERIES, rb'{"_id": "\u0000", "text": "a"}', 1, ["NUL", "remove"]),
    ("surrogate in text", CORPUS, rb'{"_id": "d1", "text": "\ud800"}', 1, ["surrogate", "remove"]),
    ("surrogate in id", QUERIES, rb'{"_id": "\udfff", "text": "a"}', 1, ["surrogate", "remove"]),
    ("blank document", CORPUS, b'{"_id":"d1","title":" ","text":"\\n"}', 1, ["empty_text=keep"]),
    ("blank query", QUERIES, BLANK_QUERY, 2, ["'q1' has no text", "tasks.empty_text=keep"]),
    ("one column", QRELS, b"query-id corpus-id score\nq1 d1 1\n", 1, ["1 tab-separated", "write"]),
    ("two columns", QRELS, HEADER + b"\nq1\td1\n", 3, ["2 tab-separated", "write"]),
    ("TREC columns", QRELS, b"q1\t0\td1\t1\n", 1, ["4 tab-separated", "TREC"]),
    ("grade in words", QRELS, HEADER + b"q1\td1\thigh\n", 2, ["'high'", "write 0, 1"]),
    ("grade in words first", QRELS, b"q1\td1\thigh\n", 1, ["'high'", "write 0, 1"]),
    ("fractional grade", QRELS, HEADER + b"q1\td1\t0.5\n", 2, ["'0.5'", "write 0, 1"]),
    ("fractional grade first", QRELS, b"q1\td1\t0.5\n", 1, ["'0.5'", "write 0, 1"]),
    ("no grade", QRELS, HEADER + b"q1\td1\t\n", 2, ["not an integer", "write 0, 1"]),
    ("huge grade", QRELS, HEADER + b"q1\td1\t2147483648\n", 2, ["32 bits", "write 0, 1"]),
    ("unknown query", QRELS, HEADER + b"q1\td1\t1\nq9\td1\t1\n", 3, ["query 'q9'", "remove"]),
    ("unknown document", QRELS, HEADER + b"q1\td9\t1\nq9\td1\t1\n", 2, ["document 'd9'", "remove"]),
    ("two grades", QRELS, HEADER + b"q1\td1\t1\nq1\td1\t2\n", 3, ["grades 1 and 2", "keep one"]),
    ("open quote", QRELS, HEADER + b'"q1\td1\t1\nq2\td2\t1\n', 2, ["stray quote", "CSV-quote"]),
    ("bare quote", QRELS, HEADER + b'"q"1\td1\t1\n', 2, ["stray quote", "CSV-quote"]),
    ("after a quoted line end", QRELS, b'"a\nb"\td1\t1\n', 1, [r"query 'a\nb'", "remove"]),
    ("line ends in id", CORPUS, rb'{"_id":"a\n\u2028","text":""}', 1, [r"'a\n\u2028'", "remove"]),
    ("long id", QRELS, HEADER + b"q" * 9999 + b"\td1\t1\n", 2, ["q…", "remove"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content", "line", "words"),
    [pytest.param(*case, id=name) for name, *case in BAD_LINES],
)
def test_a_bad_line_is_refused_with_file_number_and_remedy(tmp_path, file, content, line, words):
    message = refusal(write(tmp_path, GOOD | {file: content}))
    assert message.startswith(f"{tmp_path / file}, line {line}: ")
    fault = message.removeprefix(f"{tmp_path / file}")
    assert all(word in fault for word in words), message
    assert "; " in fault
    assert len(fault) < 300


@pytest.mark.parametrize(
    ("files", "file", "words"),
    [
        pytest.param({CORPUS: None}, CORPUS, ["no such file", "add it"], id="no corpus"),
        pytest.param({QUERIES: None}, QUERIES, ["no such file", "add it"], id="no queries"),
        pytest.param({QRELS: None}, "qrels", ["no qrels", "'test'", "add it"], id="no qrels"),
        pytest.param(
            {QRELS: None, "qrels/dev.tsv": b"", "qrels/train.tsv": b"", "qrels/._test.tsv": b""},
            "qrels",
            ["'test'", "set tasks.split to one of 'dev', 'train'"],
            id="other splits",
        ),
        pytest.param({CORPUS: b""}, CORPUS, ["no document", "add"], id="empty corpus"),
        pytest.param({CORPUS: b"\xef\xbb\xbf\n\n"}, CORPUS, ["no document", "add"], id="blank"),
        pytest.param({QUERIES: b"\n"}, QUERIES, ["no query", "add"], id="empty queries"),
        pytest.param({QRELS: b""}, QRELS, ["no judgement", "add"], id="empty qrels"),
        pytest.param({QRELS: HEADER}, QRELS, ["no judgement", "add"], id="only a header"),
        pytest.param(
            {QRELS: HEADER + b"q1\td1\t0\nq2\td1\t-1\n"},
            QRELS,
            ["no grade above 0", "add"],
            id="no positive judgement",
        ),
    ],
)
def test_a_bad_folder_is_refused_with_file_and_remedy(tmp_path, files, file, words):
    message = refusal(write(tmp_path, GOOD | files))
    assert message.startswith(f"{tmp_path / file}: ")
    assert all(word in message for word in words), message


def test_the_folder_itself_must_be_one(tmp_path):
    assert "no such folder; set tasks.path" in refusal(tmp_path / "absent")
    assert "not a folder; set tasks.path" in refusal(write(tmp_path, GOOD) / CORPUS)
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    assert "no such folder" in refusal(tmp_path / "line\nend\udcff")


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    write(tmp_path, GOOD | {CORPUS: None})
    (tmp_path / CORPUS).mkdir()
    assert "corpus.jsonl, line 1: cannot be read" in refusal(tmp_path)


def test_damaged_gzip_is_refused_with_the_line_it_breaks_at(tmp_path):
    lines = b"".join(b'{"_id": "%d", "text": "%d"}\n' % (i, hash((i, i))) for i in range(999))
    whole = gzip.compress(lines)
    write(tmp_path, GOOD | {CORPUS: None, "corpus.jsonl.gz": whole[: len(whole) // 2]})
    assert "cannot be read ('Compressed file ended" in refusal(tmp_path)
    write(tmp_path, {"corpus.jsonl.gz": lines})
    assert "corpus.jsonl.gz, line 1: cannot be read ('Not a gzipped file" in refusal(tmp_path)
    write(tmp_path, {"corpus.jsonl.gz": whole[:10] + b"\xff" * 50 + whole[60:]})
    assert "corpus.jsonl.gz, line 1: cannot be read (" in refusal(tmp_path)


@pytest.mark.parametrize("split", ["../test", "/etc/hosts", "", "a\nb", "te*t", "TEST"])
def test_a_split_never_acts_as_a_path(tmp_path, split):
    write(tmp_path, GOOD | {"test.tsv": GOOD[QRELS]})
    assert "set tasks.split to one of 'test'" in refusal(tmp_path, split=split)


def test_the_first_of_many_faults_is_reported(tmp_path):
    content = b'{"_id": "d1", "text": ""}\nnonsense\n{"_id": 1.5}\n'
    assert "line 1: document 'd1'" in refusal(write(tmp_path, GOOD | {CORPUS: content}))
    assert "line 2: " in refusal(tmp_path, empty_text="keep")


ENCODABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
IDS = st.one_of(
    ENCODABLE.filter(bool), st.text("ab/\\.\"'\n\r\t\u2028\x85\ufeff ,{}", min_size=1, max_size=4)
)
TEXTS = ENCODABLE.filter(str.strip)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    documents=st.dictionaries(IDS, st.tuples(ENCODABLE, TEXTS), min_size=1, max_size=5),
    queries=st.dictionaries(IDS, TEXTS, min_size=1, max_size=5),
    ascii_only=st.booleans(),
    data=st.data(),
)
def test_whatever_is_written_is_read_back(tmp_path_factory, documents, queries, ascii_only, data):
    pairs = st.tuples(st.sampled_from(sorted(queries)), st.sampled_from(sorted(documents)))
    drawn = data.draw(st.dictionaries(pairs, st.integers(-1, 3), max_size=9))
    judgements = drawn | {(next(iter(queries)), next(iter(documents))): 1}

    def json_lines(records: list[dict[str, str]]) -> bytes:
        lines = (json.dumps(record, ensure_ascii=ascii_only) + "\n" for record in records)
        return "".join(lines).encode()

    rows = io.StringIO(newline="")
    csv.writer(rows, delimiter="\t").writerows(
        [("query-id", "corpus-id", "score"), *((*pair, g) for pair, g in judgements.items())]
    )
    folder = write(
        tmp_path_factory.mktemp("any"),
        {
            CORPUS: json_lines(
                [{"_id": i, "title": t, "text": x} for i, (t, x) in documents.items()]
            ),
            QUERIES: json_lines([{"_id": i, "text": text} for i, text in queries.items()]),
            QRELS: rows.getvalue().encode(),
        },
    )
    collection = read_collection(folder)
    assert collection.documents == tuple((i, t, x) for i, (t, x) in documents.items())
    judged = {query for query, _ in judgements}
    assert collection.queries == tuple((i, x) for i, x in queries.items() if i in judged)
    read = {(q, d): grade for q, grades in collection.qrels.items() for d, grade in grades.items()}
    assert read == judgements


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(file=st.sampled_from(sorted(GOOD)), data=st.data())
def test_any_damage_is_read_or_refused_in_one_line(tmp_path_factory, file, data):
    content = GOOD[file]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    damaged = content[:start] + data.draw(st.binary(max_size=6)) + content[end:]
    folder = write(tmp_path_factory.mktemp("damaged"), GOOD | {file: damaged})
    message = ""
    try:
        read_collection(folder)
    except BadInputError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith(str(folder) if message else "")


def test_the_task_bears_the_folders_own_name(tmp_path, monkeypatch):
    folder = write(tmp_path / "my set", GOOD)
    task = folder_task(folder)
    assert isinstance(task, AbsTaskRetrieval)
    assert task.metadata.name == "my set"
    assert task.metadata.revision == read_collection(folder).revision()
    assert task.metadata.eval_splits == ["test"]
    (tmp_path / "alias").symlink_to(folder)
    assert folder_task(tmp_path / "alias").metadata.name == "alias"
    monkeypatch.chdir(folder)
    names = {folder_task(Path(path)).metadata.name for path in (".", "../my set/", "qrels/..")}
    assert names == {"my set"}


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    folder = write(tmp_path / "caf\udce9", GOOD)
    with pytest.raises(BadInputError, match="rename the folder") as caught:
        folder_task(folder)
    assert str(caught.value).isprintable()


def test_the_revision_follows_the_content(tmp_path):
    def revision(files: dict[str, bytes]) -> str:
        return folder_task(write(tmp_path / "set", GOOD | files)).metadata.revision

    original = revision({})
    assert revision({name: b"\xef\xbb\xbf" + text for name, text in GOOD.items()}) == original
    assert revision({QRELS: GOOD[QRELS].replace(b"\t0", b"\t1")}) != original
    assert revision({CORPUS: GOOD[CORPUS].replace(b"two", b"tow")}) != original


class PerfectRetrieval:
    mteb_model_meta = mteb.models.ModelMeta.create_empty({"name": "tests/perfect"})

    def index(self, corpus, **_):
        self.ids = corpus["id"]

    def search(self, queries, **_):
        return {query: {"d1": 1.0, "d2": 0.5} for query in queries["id"]}


def test_mteb_scores_the_task_and_counts_queries_judged_zero_only(tmp_path):
    task = folder_task(write(tmp_path, GOOD))
    result = mteb.evaluate(PerfectRetrieval(), task, cache=None, co2_tracker=False)
    assert result.task_results[0].get_score() == pytest.approx(0.5)


def test_reading_takes_little_more_memory_than_the_texts(tmp_path):
    lines = (json.dumps({"_id": str(i), "text": f"{i:02000}"}) for i in range(2000))
    folder = write(tmp_path, GOOD | {CORPUS: "\n".join(lines).encode(), QRELS: b"q1\t1\t1"})
    tracemalloc.start()
    try:
        documents = read_collection(folder).documents
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * sum(sys.getsizeof(text) for _, _, text in documents)


def real_folder(name: str) -> Path:
    folder = SHARED / "data" / "beir" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set HARNESS_SHARED to the folder that holds data/beir")
    return folder


@pytest.mark.parametrize("name", ["scifact", "xquad-en"])
def test_real_collections_equal_what_beirs_own_loader_reads(name):
    from beir.datasets.data_loader import GenericDataLoader

    folder = real_folder(name)
    corpus, queries, qrels = GenericDataLoader(str(folder)).load("test")
    collection = read_collection(folder)
    assert {i: {"title": t, "text": x} for i, t, x in collection.documents} == corpus
    assert [i for i, _, _ in collection.documents] == list(corpus)
    assert dict(collection.queries) == queries
    assert collection.qrels == qrels


def test_scifact_has_the_published_size():
    task = folder_task(real_folder("scifact"))
    assert task.metadata.name == "scifact"
    data = task.dataset["default"]["test"]
    assert len(data["corpus"]) == 5183
    assert len(data["queries"]) == 300
    assert sum(map(len, data["relevant_docs"].values())) == 339
    texts = zip(data["corpus"]["title"], data["corpus"]["text"], strict=True)
    # mteb joins and strips in this way.
    assert sum(len(f"{title} {text}".strip()) for title, text in texts) == 7_771_451
