import pytest
from datasets import Dataset
from mteb.models import SearchProtocol

from harness.errors import BadInputError
from harness.evaluation.bridge import ModeSearch, model_meta
from harness.evaluation.task_texts import TaskTexts

PLACE = ("test", "default")


class Encoder:
    """Records what texts are made of."""

    def __init__(self):
        self.made = []

    def texts(self, ids, texts, side):
        self.made.append((list(ids), list(texts), side))
        made = type("Texts", (), {})()
        made.ids, made.texts = ids, texts
        return made


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


def test_a_mode_is_an_mteb_search_model():
    meta = model_meta("org/model", "abc", {"k": 1})
    search = ModeSearch(retriever=None, texts=None, meta=meta)
    assert isinstance(search, SearchProtocol)
    assert search.mteb_model_meta.name == "org/model"
    assert search.mteb_model_meta.revision == "abc"


def test_reranking_candidates_are_refused():
    search = ModeSearch(retriever=None, texts=None, meta=model_meta("o/m", "a", {}))
    with pytest.raises(BadInputError, match="reranking"):
        search.search([], hf_split="test", hf_subset="default", top_k=1, top_ranked={"q": ["d"]})
