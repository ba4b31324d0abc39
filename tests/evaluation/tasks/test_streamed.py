"""A corpus that is read as a stream against the same one in memory."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInputError
from harness.evaluation.task_texts import TaskTexts
from harness.evaluation.tasks.folder import folder_task, local_task, read_collection
from harness.evaluation.tasks.streamed import StreamedCorpus

DOCUMENTS = [
    {"_id": "b", "title": "Cats", "text": "sit"},
    {"_id": "é", "text": " on mats "},
    {"_id": "a", "title": "", "text": "Dogs"},
    {"_id": "a1", "title": "Foxes", "text": ""},
]


def folder_of(folder, documents=DOCUMENTS):
    (folder / "qrels").mkdir(parents=True)
    lines = "".join(json.dumps(document) + "\n" for document in documents)
    (folder / "corpus.jsonl").write_text(lines)
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "who?"}\n')
    (folder / "qrels" / "test.tsv").write_text("q\ta\t1\nq\té\t0\n")
    return folder


def test_the_collection_is_the_same(tmp_path):
    folder = folder_of(tmp_path / "mine")
    plain = read_collection(folder)
    streamed = read_collection(folder, stream=tmp_path / "scratch")
    assert tuple(streamed.documents) == plain.documents
    assert streamed.documents[1] == plain.documents[1]
    assert streamed.documents[1:3] == list(plain.documents[1:3])
    assert streamed.revision() == plain.revision()
    assert (streamed.qrels, streamed.queries) == (plain.qrels, plain.queries)


def test_rows_are_those_of_a_data_set(tmp_path):
    folder = folder_of(tmp_path / "mine")
    plain = folder_task(folder).dataset["default"]["test"]["corpus"]
    rows = folder_task(folder, stream=tmp_path / "s").dataset["default"]["test"]["corpus"]
    assert len(rows) == len(plain) == 4
    assert list(rows.column_names) == plain.column_names
    for name in plain.column_names:
        assert list(rows[name]) == list(plain[name])


def test_texts_are_joined_and_ordered_by_id(tmp_path):
    folder = folder_of(tmp_path / "mine")
    encoder = SimpleNamespace(
        texts=lambda ids, texts, side: SimpleNamespace(ids=ids, texts=texts),
        store_dir=tmp_path / "store",
    )
    found = []
    for stream in (None, tmp_path / "s"):
        rows = folder_task(folder, stream=stream).dataset["default"]["test"]["corpus"]
        texts = TaskTexts(encoder)
        made = texts.corpus(("test", "default"), rows)
        assert texts.corpus(("test", "default"), rows) is made
        found.append((list(made.ids), list(made.texts)))
    assert found[0] == found[1]
    assert found[1][0] == ["a", "a1", "b", "é"]
    assert found[1][1] == ["Dogs", "Foxes", "Cats sit", "on mats"]


@settings(max_examples=30, deadline=None)
@given(names=st.lists(st.text("abé1", min_size=1, max_size=3), unique=True, max_size=12))
def test_ids_are_found(tmp_path_factory, names):
    documents = ((name, "", f"text of {name}") for name in names)
    corpus = StreamedCorpus(documents, tmp_path_factory.mktemp("s"))
    assert [name in corpus.ids for name in names] == [True] * len(names)
    assert not any(name in corpus.ids for name in ("", "c", "abéab", 1, None) if name not in names)
    assert corpus.repeated() is None
    assert list(corpus.sorted_ids) == sorted(names)


@pytest.mark.parametrize(
    "documents",
    [
        [*DOCUMENTS, {"_id": "é", "text": "again"}],
        [*DOCUMENTS, {"_id": "x", "text": " "}],
        [*DOCUMENTS, {"_id": 1.5, "text": "x"}],
        [],
        DOCUMENTS[:2],  # a judged document is missing
    ],
)
def test_faults_are_told_alike(tmp_path, documents):
    folder = folder_of(tmp_path / "mine", documents)
    told = []
    for stream in (None, tmp_path / "s"):
        with pytest.raises(BadInputError) as error:
            read_collection(folder, stream=stream)
        told.append(str(error.value))
    assert told[0] == told[1]


@pytest.mark.parametrize(("least", "streamed"), [(0, True), (100, True), (10_000, False)])
def test_a_large_corpus_is_streamed(tmp_path, least, streamed):
    folder = folder_of(tmp_path / "mine")
    task = local_task(folder, stream=tmp_path / "s", stream_bytes=least)
    assert isinstance(task.dataset["default"]["test"]["corpus"], StreamedCorpus) == streamed
    in_memory = local_task(folder, stream_bytes=least)
    assert in_memory.metadata.revision == task.metadata.revision


def test_files_go_with_the_corpus(tmp_path):
    corpus = StreamedCorpus([("a", "", "b")], tmp_path / "s")
    assert list((tmp_path / "s").iterdir())
    del corpus
    assert not list((tmp_path / "s").iterdir())
