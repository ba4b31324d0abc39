"""Stand-ins for an encoder and its texts, and the plain way to rank."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from harness.alignment.head import FitRecord
from harness.alignment.lexicon import TokenLexicon
from harness.embedding.ragged import Ragged
from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Dependencies


class FakeTexts:
    """Texts with given tokens and embeddings; `asked` records which views were read."""

    def __init__(self, *, texts=None, tokens=None, embeddings=None):
        count = len(next(part for part in (texts, tokens, embeddings) if part is not None))
        self.texts = [""] * count if texts is None else list(texts)
        self.ids = [f"{row:04d}" for row in range(count)]
        self.asked = []
        self._tokens = tokens
        self._embeddings = embeddings
        self._derived = {}

    def __len__(self):
        return len(self.texts)

    def parts(self):
        yield self

    @property
    def literal_tokens(self):
        self.asked.append("literal_tokens")
        return Ragged.from_rows(self._tokens)

    @property
    def prompts(self):
        self.asked.append("prompts")

    @property
    def embeddings(self):
        self.asked.append("embeddings")
        return np.asarray(self._embeddings, np.float32)

    def derived(self, key, compute):
        if key not in self._derived:
            self._derived[key] = compute()
        return self._derived[key]


class FakeHead:
    """A given matrix, ready after `fit`; `dependencies` give it its tokens."""

    bias = None
    fit_record: FitRecord | None = None

    def __init__(self, matrix):
        self.matrix = np.asarray(matrix, np.float32)
        self.vocabulary = len(self.matrix)
        self.fitted = []

    def fit(self, corpus):
        self.fitted.append(corpus)

    def read(self, texts):
        return texts.embeddings

    def project(self, embeddings):
        return embeddings


class FakeTokenizer:
    all_special_ids = (0,)
    added_tokens_decoder: ClassVar = {}

    def __init__(self, words):
        self._words = words

    def __len__(self):
        return len(self._words)

    def convert_ids_to_tokens(self, ids):
        return [self._words[i] for i in ids]

    def convert_tokens_to_string(self, tokens):
        return "".join(tokens)


class FakeRetriever:
    """Gives the ranking that it was given, and records what it was asked."""

    def __init__(self, ranking=None, work=None):
        self._ranking = ranking
        self._work = work
        self.calls = []

    def index(self, corpus):
        self.calls.append(("index", corpus))

    def tokenise(self, queries):
        self.calls.append(("tokenise", queries))

    def encode(self, queries):
        self.calls.append(("encode", queries))

    def search(self, queries, top_k):
        self.calls.append(("search", queries, top_k))
        return self._ranking.top(top_k)

    def rerank(self, queries, candidates, top_k):
        self.calls.append(("rerank", queries, candidates, top_k))
        return self._ranking.top(top_k)

    def work(self, queries, candidates=None):
        self.calls.append(("work", queries, candidates))
        return self._work


def _dependencies(
    *, head=None, words=(), normalize=False, similarity=None, retrievers=None, name="mode"
):
    encoder = SimpleNamespace(
        model=SimpleNamespace(
            tokenizer=FakeTokenizer(words), normalize=normalize, similarity=similarity
        ),
        backend=SimpleNamespace(device="cpu"),
    )
    if head is not None:
        head.lexicon = TokenLexicon(encoder.model.tokenizer, head.vocabulary)
    return Dependencies(name=name, encoder=encoder, head=head, retrievers=retrievers or {})


def _ranking(*queries):
    """A ranking from (document, score) pairs, one list a query, padded to the longest."""
    ranking = Ranking.empty(len(queries), max(map(len, queries), default=0))
    for row, pairs in enumerate(queries):
        for place, (document, score) in enumerate(pairs):
            ranking.documents[row, place] = document
            ranking.scores[row, place] = score
    return ranking


def _pairs(ranking):
    """(document, score) pairs of each query; the opposite of `ranking`."""
    return [
        [(d, s) for d, s in zip(documents, scores, strict=True) if d >= 0]
        for documents, scores in zip(
            ranking.documents.tolist(), ranking.scores.tolist(), strict=True
        )
    ]


def _plain_ranking(scores, k):
    """(document, score) pairs by descending score, then by document; None is not found."""
    found = [(d, s) for d, s in enumerate(scores) if s is not None]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]


def _as_fixture(value):
    return pytest.fixture(scope="session")(lambda: value)


fake_texts = _as_fixture(FakeTexts)
fake_head = _as_fixture(FakeHead)
fake_retriever = _as_fixture(FakeRetriever)
dependencies = _as_fixture(_dependencies)
ranking = _as_fixture(_ranking)
pairs = _as_fixture(_pairs)
plain_ranking = _as_fixture(_plain_ranking)
