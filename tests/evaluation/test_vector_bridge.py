"""A mode as mteb's encoder."""

from types import SimpleNamespace

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from mteb.abstasks import (
    AbsTaskBitextMining,
    AbsTaskMultilabelClassification,
    AbsTaskPairClassification,
    AbsTaskSTS,
    AbsTaskSummarization,
)
from mteb.models import EncoderProtocol
from mteb.types import PromptType
from scipy import sparse

from harness.evaluation.bridge import model_meta
from harness.evaluation.task_texts import TaskTexts
from harness.evaluation.vector_bridge import ModeEncoder
from harness.retrieval.vectors import SparseVectors
from tests.evaluation.every_type import plain_scores, task_of

META = model_meta("org/model", "abc", {})
LETTERS = "abcdefgh"


class Texts(SimpleNamespace):
    def __len__(self):
        return len(self.texts)


class Encoder:
    def texts(self, ids, texts, side):
        return Texts(ids=ids, texts=texts, side=side)


class Letters:
    """Counts the letters of a text; sparse after `prepare` where it reads a head."""

    similarity = "cosine"

    def __init__(self, *, reads_head=False):
        self.reads_head = reads_head
        self.learnt = []

    def prepare(self, texts):
        self.learnt.append((list(texts.texts), texts.side))

    def vectors(self, texts):
        counts = [[text.count(letter) for letter in LETTERS] for text in texts.texts]
        rows = np.array(counts, np.float32).reshape(len(texts), len(LETTERS))
        if not self.reads_head:
            return rows
        assert self.learnt
        matrix = sparse.csr_array(rows)
        matrix.indices, matrix.indptr = (
            part.astype(np.int64) for part in (matrix.indices, matrix.indptr)
        )
        return matrix


def encoder_of(base=AbsTaskSTS, **settings):
    task = base.__new__(base)
    return ModeEncoder(Letters(**settings), task, TaskTexts(Encoder()), META)


def encode(encoder, texts, *, split="test", subset="default", **settings):
    batches = [{"text": texts[:2]}, {"text": texts[2:]}]
    return encoder.encode(batches, task_metadata=None, hf_split=split, hf_subset=subset, **settings)


def test_a_mode_is_an_mteb_encoder():
    encoder = encoder_of()
    assert isinstance(encoder, EncoderProtocol)
    assert encoder.mteb_model_meta is META


def test_dense_vectors_in_order():
    encoder = encoder_of()
    found = encode(encoder, ["ab", "", "bb"])
    assert found.tolist() == [[1, 1, *[0] * 6], [0] * 8, [0, 2, *[0] * 6]]
    assert encoder.vectoriser.learnt == []


def test_sparse_vectors_stay_sparse_with_small_indices():
    """scikit-learn clusters no wider ones."""
    found = encode(encoder_of(reads_head=True), ["ab", "", "bb"])
    assert isinstance(found, SparseVectors)
    assert found.indices.dtype == found.indptr.dtype == np.int32
    assert found.toarray().tolist() == encode(encoder_of(), ["ab", "", "bb"]).tolist()


@pytest.mark.parametrize(
    ("prompt_type", "side"),
    [(None, "symmetric"), (PromptType.query, "query"), (PromptType.document, "document")],
)
def test_sides(prompt_type, side):
    encoder = encoder_of()
    encode(encoder, ["a", "b"], prompt_type=prompt_type)
    ((place, asked),) = encoder._texts.asked()
    assert place == ("test", "default")
    assert asked.side == side
    assert list(asked.texts) == ["a", "b"]


def pairs_task(base, task_type, main_score, **attributes):
    rows = {
        "sentence1": ["ab", "cd", "ef", "gg"],
        "sentence2": ["aab", "ab", "fe", "ch"],
        "score": [4, 1, 3, 2],
        "labels": [1, 0, 1, 0],
    }
    dataset = DatasetDict(test=Dataset.from_dict(rows))
    return task_of(base, "mine", task_type, dataset, main_score=main_score, **attributes)


@pytest.mark.parametrize(
    ("base", "task_type", "main_score"),
    [
        (AbsTaskSTS, "STS", "cosine_spearman"),
        (AbsTaskPairClassification, "PairClassification", "max_ap"),
    ],
)
@pytest.mark.parametrize(
    ("types", "sides"),
    [
        ((None, None), ["symmetric", "symmetric"]),
        ((PromptType.query, PromptType.document), ["query", "document"]),
        ((PromptType.document, PromptType.query), ["document", "query"]),
    ],
)
def test_what_a_task_says_of_its_inputs_is_their_side(base, task_type, main_score, types, sides):
    asked_as = dict(zip(("input1_prompt_type", "input2_prompt_type"), types, strict=True))
    task = pairs_task(base, task_type, main_score, **asked_as)
    texts = TaskTexts(Encoder())
    plain_scores(ModeEncoder(Letters(), task, texts, META), task)
    asked = [part for _, part in texts.asked()]
    assert [part.side for part in asked] == sides
    assert [list(part.texts) for part in asked] == [
        ["ab", "cd", "ef", "gg"],
        ["aab", "ab", "fe", "ch"],
    ]


def test_a_head_learns_once_a_subset():
    encoder = encoder_of(reads_head=True)
    encoder._texts.get(("train", "en"), "symmetric", ["1"], ["c"])
    for subset in ("en", "en", "de", "en"):
        encode(encoder, [f"{subset} a"], subset=subset)
    assert encoder.vectoriser.learnt == [
        (["c", "en a"], "symmetric"),
        (["de a"], "symmetric"),
        (["c", "en a"], "symmetric"),
    ]


def test_a_head_learns_once_from_all_languages_of_parallel_texts():
    encoder = encoder_of(AbsTaskBitextMining, reads_head=True)
    encoder._texts.get(("test", "de"), "symmetric", ["1"], ["b"])
    for subset in ("en", "de"):
        encode(encoder, ["a" if subset == "en" else "b"], subset=subset)
    encoder.prepare("en-de")
    assert encoder.vectoriser.learnt == [(["a", "b"], "symmetric")]


@pytest.mark.parametrize("base", [AbsTaskMultilabelClassification, AbsTaskSummarization])
def test_types_that_split_single_rows_get_the_columns_in_use(base):
    """Those of a, c and h, which any text of the task has."""
    encoder = encoder_of(base, reads_head=True)
    encoder._texts.get(("train", "default"), "symmetric", ["1"], ["ca"])
    found = encode(encoder, ["hh", "a"])
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[0, 0, 2], [1, 0, 0]]
    assert encode(encoder, ["ca"], split="train").tolist() == [[1, 1, 0]]


def test_bytes_of_what_was_asked_for():
    """Eight float32 a text; a weight and an index a letter, and an offset more than texts."""
    dense, few = encoder_of(), encoder_of(reads_head=True)
    for encoder in (dense, few):
        encode(encoder, ["ab", "", "bb"])
        encode(encoder, ["a"])
        encode(encoder, ["abc"], split="train")
        encode(encoder, ["a"])  # again: it is the same vector
    assert list(dense.bytes_of.values()) == [3 * 32, 32, 32]
    assert list(few.bytes_of.values()) == [3 * 8 + 4 * 4, 8 + 2 * 4, 3 * 8 + 2 * 4]


@pytest.mark.parametrize("reads_head", [False, True])
def test_similarity_is_the_modes_own(reads_head):
    encoder = encoder_of(reads_head=reads_head)
    one, other = encode(encoder, ["aaa", "ab"]), encode(encoder, ["a", "cb"])
    half = 0.5**0.5
    np.testing.assert_allclose(encoder.similarity(one, other), [[1, 0], [half, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(encoder.similarity_pairwise(one, other), [1, 0.5], rtol=1e-6)
    encoder.vectoriser.similarity = "dot"
    np.testing.assert_allclose(encoder.similarity(one, other), [[3, 0], [1, 1]], rtol=1e-6)
    np.testing.assert_allclose(encoder.similarity_pairwise(one, other), [3, 1], rtol=1e-6)


def test_the_similarity_of_two_single_vectors_is_a_number():
    """mteb makes a float of it."""
    encoder = encoder_of()
    one, other = encode(encoder, ["aab", "b"])
    assert float(encoder.similarity(one, other)) == pytest.approx(0.2**0.5)
    assert encoder.similarity(one, np.stack([other])).shape == (1, 1)
