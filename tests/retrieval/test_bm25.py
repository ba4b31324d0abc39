"""BM25 against mteb's own baseline, and by hand."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from harness.config import Bm25Config
from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.retrieval.bm25 import Bm25Retriever


@pytest.fixture
def bm25(dependencies, fake_texts):
    def make(documents, **settings):
        retriever = Bm25Retriever(Bm25Config(**settings), dependencies=dependencies(name="words"))
        retriever.index(fake_texts(texts=documents))
        return retriever

    return make


@pytest.fixture(scope="module")
def xquad(shared):
    folder = shared / "data" / "beir" / "xquad-en"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")

    def read(name):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return sorted((row["_id"], row.get("title", ""), row["text"]) for row in rows)

    return read("corpus.jsonl"), read("queries.jsonl")


@pytest.mark.parametrize(
    "settings", [{}, {"k1": 0.9, "b": 0.4}, {"method": "robertson"}, {"method": "atire"}]
)
def test_equals_mtebs_baseline(bm25, fake_texts, pairs, xquad, settings):
    from datasets import Dataset
    from mteb.models.model_implementations.bm25 import BM25Search

    corpus, queries = xquad
    place = {
        "task_metadata": SimpleNamespace(eval_langs={"en": ["eng-Latn"]}),
        "hf_split": "test",
        "hf_subset": "en",
        "encode_kwargs": {},
    }
    baseline = BM25Search(**settings)
    baseline.index(
        Dataset.from_list([{"id": i, "title": title, "text": text} for i, title, text in corpus]),
        **place,
    )
    asked = Dataset.from_list([{"id": i, "text": text} for i, _, text in queries])
    expected = baseline.search(asked, top_k=100, **place)

    retriever = bm25([f"{title} {text}".strip() for _, title, text in corpus], **settings)
    found = retriever.search(fake_texts(texts=[text for _, _, text in queries]), 100)
    for (query, _, _), ranked in zip(queries, pairs(found), strict=True):
        theirs = {document: score for document, score in expected[query].items() if score > 0}
        ours = {corpus[row][0]: score for row, score in ranked}
        np.testing.assert_allclose(
            list(ours.values()), sorted(theirs.values(), reverse=True), rtol=1e-6
        )
        last = min(theirs.values(), default=0) * (1 + 1e-6)
        for document in ours.keys() | theirs.keys():  # a tie at the last rank may be cut apart
            in_both = document in ours and document in theirs
            assert in_both or ours.get(document, theirs.get(document)) <= last
            assert not in_both or ours[document] == pytest.approx(theirs[document], rel=1e-6)


def test_scores_by_hand(bm25, fake_texts, pairs):
    retriever = bm25(["cat cat dog", "dog", "bird fish fish"])
    (found,) = pairs(retriever.search(fake_texts(texts=["cat dog"]), 10))

    def part(frequency, length, document_frequency):
        idf = math.log(1 + (3 - document_frequency + 0.5) / (document_frequency + 0.5))
        return idf * frequency / (frequency + 1.5 * (1 - 0.75 + 0.75 * length / (7 / 3)))

    expected = [(0, part(2, 3, 1) + part(1, 3, 2)), (1, part(1, 1, 2))]
    assert [document for document, _ in found] == [0, 1]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=1e-5)


def test_words_are_stemmed_and_stopwords_left_out(bm25, fake_texts, pairs):
    retriever = bm25(["The cats were running", "the and of"])
    found = retriever.search(fake_texts(texts=["a cat runs", "the and of"]), 5)
    assert [[d for d, _ in query] for query in pairs(found)] == [[0], []]


def test_without_stemmer_and_stopwords(bm25, fake_texts, pairs):
    retriever = bm25(["the cats", "dogs bark"], stemmer=None, stopwords=None)
    found = retriever.search(fake_texts(texts=["the", "cat", "dogs"]), 5)
    assert [[d for d, _ in query] for query in pairs(found)] == [[0], [], [1]]


def test_another_language(bm25, fake_texts, pairs):
    retriever = bm25(["die Häuser", "der Hund"], stemmer="german", stopwords="de")
    found = retriever.search(fake_texts(texts=["Haus", "die der"]), 5)
    assert [[d for d, _ in query] for query in pairs(found)] == [[0], []]


def test_ties_are_ordered_by_document(bm25, fake_texts, pairs):
    retriever = bm25(["dog"] + ["cat"] * 30)
    (found,) = pairs(retriever.search(fake_texts(texts=["cat"]), 12))
    assert [document for document, _ in found] == list(range(1, 13))
    assert len({score for _, score in found}) == 1


def test_empty_documents_are_never_found(bm25, fake_texts, pairs):
    retriever = bm25(["", "cat", "  ", "...", "the", "cat dog"])
    found = retriever.search(fake_texts(texts=["cat", "dog", ""]), 10)
    assert [[d for d, _ in query] for query in pairs(found)] == [[1, 5], [5], []]


@pytest.mark.parametrize("documents", [["", " ", "..."], ["the", "and of"], []])
def test_a_corpus_without_any_word(bm25, fake_texts, pairs, documents):
    retriever, queries = bm25(documents), fake_texts(texts=["cat", ""])
    found = retriever.search(queries, 10)
    assert found.documents.shape == (2, len(documents))
    assert pairs(found) == [[], []]
    work = retriever.work(queries)
    assert (work.scoring_flops, work.index_bytes) == (0, 0)


def test_a_query_without_known_words(bm25, fake_texts, pairs):
    retriever = bm25(["cat", "dog"])
    found = retriever.search(fake_texts(texts=["zebra", "", "...", "the", "zebra cat"]), 10)
    assert [[d for d, _ in query] for query in pairs(found)] == [[], [], [], [], [0]]


def test_no_queries(bm25, fake_texts):
    retriever = bm25(["cat", "dog"])
    assert retriever.search(fake_texts(texts=[]), 10).documents.shape == (0, 2)
    assert retriever.work(fake_texts(texts=[])).scoring_flops == 0


def test_another_corpus_replaces_the_first(bm25, fake_texts, pairs):
    retriever = bm25(["cat", "dog"])
    retriever.index(fake_texts(texts=["...", "mouse", "dog dog"]))
    found = retriever.search(fake_texts(texts=["cat", "dog"]), 5)
    assert [[d for d, _ in query] for query in pairs(found)] == [[], [2]]
    retriever.index(fake_texts(texts=["..."]))
    assert pairs(retriever.search(fake_texts(texts=["dog"]), 5)) == [[]]


def test_an_unknown_stemmer_is_refused(dependencies):
    with pytest.raises(BadInputError) as caught:
        Bm25Retriever(Bm25Config(stemmer="klingon"), dependencies=dependencies(name="words"))
    message = str(caught.value)
    assert message.startswith("retrieval.words.stemmer='klingon' is unknown; choose one of: ")
    assert "english" in message
    assert "\n" not in message


def test_queries_are_tokenised_once_and_no_model_runs(bm25, fake_texts):
    retriever, queries = bm25(["cat", "dog"]), fake_texts(texts=["cat"])
    retriever.tokenise(queries)
    retriever.encode(queries)
    queries.texts = ["dog"]  # too late
    assert retriever.search(queries, 1).documents.tolist() == [[0]]
    assert queries.asked == []


def test_work_counts_postings(bm25, fake_texts):
    retriever = bm25(["cat dog", "cat", "bird cat cat"])
    work = retriever.work(fake_texts(texts=["cat", "dog bird zebra"]))
    assert work.scoring_flops == 2 * (3 + 2) / 2
    assert work.index_bytes > 0
    assert not work.encodes_documents
    assert not work.encodes_queries


def test_reranking_scores_candidates_as_bm25s_does(bm25, fake_texts, pairs):
    documents = ["cat dog dog", "cat", "bird", "dog cat bird bird", "", "fish"]
    retriever = bm25(documents)
    queries = fake_texts(texts=["cat dog dog", "bird zebra", "zebra", ""])
    candidates = [[0, 2, 3, 4], [5, 3, 1], [0, 1], [2]]
    found = pairs(retriever.rerank(queries, Ragged.from_rows(candidates), 10))
    known = [["cat", "dog", "dog"], ["bird"], [], []]
    for row, (own, words) in enumerate(zip(candidates, known, strict=True)):
        scores = retriever._index.get_scores(words) if words else np.zeros(len(documents))
        expected = sorted(((d, scores[d]) for d in own), key=lambda pair: (-pair[1], -pair[0]))
        assert [d for d, _ in found[row]] == [d for d, _ in expected]
        np.testing.assert_allclose([s for _, s in found[row]], [s for _, s in expected], rtol=1e-6)
    assert [d for d, _ in found[2]] == [1, 0]  # nothing tells them apart
    assert found[3] == [(2, 0.0)]


def test_reranking_equals_searching(bm25, fake_texts, pairs):
    rng = np.random.default_rng(3)
    words = ["cat", "dog", "bird", "fish", "horse", "mouse"]
    documents = [" ".join(rng.choice(words, rng.integers(1, 7))) for _ in range(30)]
    retriever = bm25(documents)
    queries = fake_texts(texts=[" ".join(rng.choice(words, 3)) for _ in range(5)])
    searched = [dict(query) for query in pairs(retriever.search(queries, 30))]
    candidates = [rng.permutation(30)[:12].tolist() for _ in range(5)]
    found = pairs(retriever.rerank(queries, Ragged.from_rows(candidates), 12))
    for query, (own, ranked) in enumerate(zip(candidates, found, strict=True)):
        assert sorted(document for document, _ in ranked) == sorted(own)
        for document, score in ranked:
            assert score == pytest.approx(searched[query].get(document, 0.0), rel=1e-6)
    by_text = {}
    for query, ranked in enumerate(found):
        for document, score in ranked:
            assert by_text.setdefault((query, documents[document]), score) == score


def test_work_on_candidates_counts_shared_words(bm25, fake_texts):
    """Cat is in two of the first query's three, bird in its one; dog in none of the second's."""
    retriever = bm25(["cat dog", "cat", "bird cat cat", "fish"])
    queries = fake_texts(texts=["cat bird", "dog zebra"])
    candidates = Ragged.from_rows([[1, 2, 3], [1, 2]])
    assert retriever.work(queries, candidates).scoring_flops == 2 * 3 / 2


@pytest.mark.parametrize("documents", [["", "..."], ["the", "and of"]])
def test_reranking_without_any_word(bm25, fake_texts, pairs, documents):
    retriever, queries = bm25(documents), fake_texts(texts=["cat"])
    candidates = Ragged.from_rows([[0, 1]])
    assert pairs(retriever.rerank(queries, candidates, 5)) == [[(1, 0.0), (0, 0.0)]]
    assert retriever.work(queries, candidates).scoring_flops == 0


def test_another_corpus_is_reranked_by_its_own_words(bm25, fake_texts, pairs):
    retriever, candidates = bm25(["cat", "dog"]), Ragged.from_rows([[0, 1]])
    (first,) = pairs(retriever.rerank(fake_texts(texts=["cat"]), candidates, 2))
    retriever.index(fake_texts(texts=["mouse", "cat"]))
    (second,) = pairs(retriever.rerank(fake_texts(texts=["cat"]), candidates, 2))
    assert [document for document, _ in first] == [0, 1]
    assert [document for document, _ in second] == [1, 0]
