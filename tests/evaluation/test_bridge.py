"""A mode as mteb's search model."""

from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset
from mteb.models import SearchProtocol

from harness.errors import TaskFailedError
from harness.evaluation.bridge import ModeSearch, model_meta
from harness.evaluation.task_texts import TaskTexts
from harness.retrieval.ranking import Ranking

PLACE = {"hf_split": "test", "hf_subset": "default"}
QUERIES = Dataset.from_list([{"id": "q1", "text": "x"}, {"id": "q2", "text": "y"}])
# In the order of their ids B, a, b.
CORPUS = Dataset.from_list([{"id": name, "title": "", "text": name} for name in ("b", "B", "a")])


class Encoder:
    def texts(self, ids, texts, side):
        return SimpleNamespace(ids=ids, texts=texts, side=side)


class Retriever:
    """Finds documents 2 and 0, at equal scores; records what it is asked."""

    def __init__(self):
        self.calls = []

    def index(self, corpus):
        self.calls.append(("index", list(corpus.ids)))

    def search(self, queries, top_k):
        self.calls.append(("search", list(queries.ids), top_k))
        return self._found(queries)

    def rerank(self, queries, candidates, top_k):
        rows = [candidates[row].tolist() for row in range(len(candidates))]
        self.calls.append(("rerank", list(queries.ids), rows, top_k))
        return self._found(queries)

    def _found(self, queries):
        count = len(queries.ids)
        return Ranking(
            np.tile(np.array([2, 0, -1], np.int32), (count, 1)),
            np.tile(np.array([1, 1, -np.inf], np.float32), (count, 1)),
        )


@pytest.fixture
def search():
    made = ModeSearch(Retriever(), TaskTexts(Encoder()), model_meta("o/m", "a", {}))
    made.index(CORPUS, **PLACE, encode_kwargs={})
    return made


def test_a_mode_is_an_mteb_search_model():
    meta = model_meta("org/model", "abc", {"k": 1})
    search = ModeSearch(retriever=None, texts=None, meta=meta)
    assert isinstance(search, SearchProtocol)
    assert search.mteb_model_meta.name == "org/model"
    assert search.mteb_model_meta.revision == "abc"
    assert search.mteb_model_meta.experiment_kwargs == {"k": 1}


def test_searching_gives_ids_without_ties(search):
    found = search.search(QUERIES, **PLACE, top_k=7, top_ranked=None)
    assert search.retriever.calls == [
        ("index", ["B", "a", "b"]),
        ("search", ["q1", "q2"], 7),
    ]
    below = float(np.nextafter(np.float32(1), np.float32(0)))
    assert found == {query: {"b": 1.0, "B": below} for query in ("q1", "q2")}
    place = ("test", "default")
    assert list(search.corpora[place].ids) == ["B", "a", "b"]
    assert list(search.queries[place].ids) == ["q1", "q2"]
    assert search.rankings[place].documents.tolist() == [[2, 0, -1]] * 2
    assert search.candidates == {}


def test_candidates_are_rows_each_once(search):
    ranked = {"q2": ["b", "B", "b"], "q1": ["a"], "other": ["nowhere"]}
    found = search.search(QUERIES, **PLACE, top_k=7, top_ranked=ranked)
    assert search.retriever.calls[1:] == [("rerank", ["q1", "q2"], [[1], [0, 2]], 7)]
    assert list(found["q1"]) == ["b", "B"]
    assert search.candidates["test", "default"].lengths.tolist() == [1, 2]


def test_a_query_without_candidates_has_none(search):
    search.search(QUERIES, **PLACE, top_k=7, top_ranked={"q1": []})
    assert search.retriever.calls[1:] == [("rerank", ["q1", "q2"], [[], []], 7)]


def test_an_unknown_candidate_is_a_broken_data_set(search):
    with pytest.raises(TaskFailedError) as caught:
        search.search(QUERIES, **PLACE, top_k=7, top_ranked={"q1": ["a", "z"]})
    assert str(caught.value) == (
        "candidate 'z' of query 'q1' is not in the corpus; the data set is broken"
    )
