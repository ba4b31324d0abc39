"""A literal ranking of two words a text, which the tests of what is kept beside a result share."""

from types import SimpleNamespace

import numpy as np
from scipy import sparse

from harness.evaluation.evaluators import Ranked
from harness.evaluation.metrics import per_query_metrics
from harness.retrieval.ranking import Ranking, to_run
from harness.retrieval.retriever import TermMatches

DOCUMENTS = {"a": "cat purr", "b": "dog bark", "c": "cat dog", "q2": "moon"}
QUERIES = {"q1": "cat purr", "q2": "dog", "q3": "moon", "q4": "not judged"}
QRELS = {
    "q1": {"a": 1, "c": 2, "gone": 1},
    "q2": {"b": 0, "q2": 1},
    "q3": {"b": 1, "a": 1},
    "q5": {"a": 1},
}
RANKING = Ranking(
    documents=np.array([[1, 0, 2], [3, 1, -1], [3, -1, -1], [0, 1, 2]], np.int32),
    scores=np.array([[3, 2, 1], [2, 1, -np.inf], [1, -np.inf, -np.inf], [3, 2, 1]], np.float32),
)
WORDS = ["bark", "cat", "dog", "moon", "purr"]


def texts(content):
    return SimpleNamespace(ids=list(content), texts=list(content.values()))


def ranked(*, documents=DOCUMENTS, queries=QUERIES, **options):
    run = to_run(RANKING, list(queries), list(documents))
    metrics = per_query_metrics(run, QRELS, **options)
    return Ranked(texts(documents), texts(queries), RANKING, QRELS, metrics)


def counts(rows):
    table = [[text.split().count(word) for word in WORDS] for text in rows]
    return sparse.csr_array(np.array(table, np.float32).reshape(-1, len(WORDS)))


class WordMode:
    """Scores a document by the words of a query that it has, each weighing 2, `purr` 3."""

    def explain(self, queries, documents):
        weights = np.array([2, 2, 2, 2, 3], np.float32)
        asked = sparse.csr_array(counts(queries.texts).multiply(weights))
        asked.eliminate_zeros()
        held = counts([list(DOCUMENTS.values())[row] for row in documents.values])
        scores = asked[documents.row_numbers()].multiply(held).sum(axis=1)
        return TermMatches(asked, held, np.asarray(scores, np.float32), WORDS.__getitem__)
