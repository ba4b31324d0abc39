"""What mteb's rows become, and that all modes share it."""

from types import SimpleNamespace

import pytest
from datasets import Dataset

from harness.errors import BadInputError
from harness.evaluation.task_texts import TaskTexts

PLACE = ("test", "default")


class Encoder:
    """Records what texts are made of."""

    def __init__(self):
        self.made = []

    def texts(self, ids, texts, side):
        self.made.append((list(ids), list(texts), side))
        return SimpleNamespace(ids=ids, texts=texts, side=side)


def test_corpus_is_joined_as_mteb_joins_it_and_ordered_by_id():
    rows = Dataset.from_list(
        [
            {"id": "b", "title": "T", "text": " body "},
            {"id": "a", "title": "", "text": " alone "},
            {"id": "B", "title": "x", "text": ""},
        ]
    )
    corpus = TaskTexts(Encoder()).corpus(PLACE, rows)
    assert list(corpus.ids) == ["B", "a", "b"]
    assert list(corpus.texts) == ["x", "alone", "T  body"]


def test_joined_texts_equal_mteb_s():
    from mteb._create_dataloaders import _corpus_to_dict

    rows = [
        {"id": str(i), "title": title, "text": text}
        for i, (title, text) in enumerate([("T", "x"), ("", " y\n"), (" a ", " b "), ("c", "")])
    ]
    corpus = TaskTexts(Encoder()).corpus(PLACE, Dataset.from_list(rows))
    assert list(corpus.texts) == [_corpus_to_dict(row)["text"] for row in rows]


def test_the_same_texts_are_made_once_and_shared():
    encoder = Encoder()
    texts = TaskTexts(encoder)
    rows = Dataset.from_list([{"id": "a", "title": "", "text": "x"}])
    assert texts.corpus(PLACE, rows) is texts.corpus(PLACE, rows)
    assert len(encoder.made) == 1
    assert texts.corpus(("dev", "default"), rows) is not texts.corpus(PLACE, rows)


def test_queries_keep_their_order_and_their_own_instructions():
    rows = Dataset.from_list(
        [
            {"id": "2", "text": "b", "instruction": "be brief"},
            {"id": "1", "text": "a", "instruction": None},
        ]
    )
    queries = TaskTexts(Encoder()).queries(PLACE, rows)
    assert list(queries.ids) == ["2", "1"]
    assert list(queries.texts) == ["b be brief", "a"]


def test_conversations_are_refused():
    rows = Dataset.from_list([{"id": "1", "text": ["hello", "there"]}])
    with pytest.raises(BadInputError, match="conversation"):
        TaskTexts(Encoder()).queries(PLACE, rows)


def test_a_corpus_without_titles():
    rows = Dataset.from_list([{"id": "a", "text": " one "}])
    assert list(TaskTexts(Encoder()).corpus(PLACE, rows).texts) == ["one"]


def test_the_same_words_on_another_side_or_in_another_order_are_other_texts():
    encoder = Encoder()
    texts = TaskTexts(encoder)
    first = texts.get(PLACE, "symmetric", ["1", "2"], ["a", "b"])
    others = [
        texts.get(PLACE, "symmetric", ["1", "2"], ["b", "a"]),
        texts.get(PLACE, "symmetric", ["2", "1"], ["a", "b"]),
        texts.get(PLACE, "query", ["1", "2"], ["a", "b"]),
        texts.get(("test", "de"), "symmetric", ["1", "2"], ["a", "b"]),
    ]
    assert len(encoder.made) == 5
    assert texts.get(PLACE, "symmetric", ("1", "2"), ("a", "b")) is first
    assert texts.get(PLACE, "symmetric", ["1", "2"], ["b", "a"]) is others[0]


def test_what_was_asked_for_in_order():
    texts = TaskTexts(Encoder())
    train = texts.get(("train", "en"), "symmetric", ["1"], ["a"])
    german = texts.get(("test", "de"), "symmetric", ["1"], ["c"])
    test = texts.get(("test", "en"), "symmetric", ["1"], ["b"])
    assert texts.asked() == [
        (("train", "en"), train),
        (("test", "de"), german),
        (("test", "en"), test),
    ]
    assert texts.asked("en") == [(("train", "en"), train), (("test", "en"), test)]
    assert texts.asked("fr") == []


def learnable(*asked, subset=None):
    """Texts and side of what a head may learn from, when (subset, side, texts) were asked for."""
    texts = TaskTexts(Encoder())
    for where, side, parts in asked:
        texts.get(("test", where), side, [str(row) for row in range(len(parts))], parts)
    learnt = texts.learnable(subset)
    assert list(learnt.ids) == [str(row) for row in range(1, len(learnt.texts) + 1)]
    return list(learnt.texts), learnt.side


def test_a_head_learns_from_each_text_once():
    asked = [("en", "symmetric", ["b", "a", "b"]), ("en", "symmetric", ["a", "c"])]
    assert learnable(*asked) == (["a", "b", "c"], "symmetric")


def test_a_head_learns_from_documents_where_there_are_some():
    query, document = ("en", "query", ["q", "d"]), ("en", "document", ["d", "e"])
    assert learnable(query, document) == (["d", "e"], "document")
    assert learnable(query) == (["d", "q"], "query")


def test_a_head_learns_from_a_subset_alone():
    asked = [("en", "symmetric", ["a"]), ("de", "symmetric", ["b"]), ("en", "symmetric", ["c"])]
    assert learnable(*asked, subset="en") == (["a", "c"], "symmetric")
    assert learnable(*asked, subset="de") == (["b"], "symmetric")
