"""Dense retrieval: exact search over embeddings, in blocks, with a streaming top-k."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.alignment.equal_rows import EqualRows
from harness.alignment.head import normalise
from harness.cost.flops import dense_scoring_flops
from harness.retrieval.candidates import dense_scores, rank_candidates
from harness.retrieval.ranking import Ranking, ranked
from harness.retrieval.retriever import Dependencies, SearchWork

if TYPE_CHECKING:
    from harness.config import DenseConfig
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts

_DOCUMENTS = 16_384  # of a block
_QUERIES = 256


def dense_search(
    queries: NDArray[np.float32],
    documents: NDArray[np.float32],
    top_k: int,
    *,
    equal: EqualRows | None = None,
) -> Ranking:
    """The documents with the largest dot products, exactly; equal documents score the same.

    Never holds more scores than one block of queries by one block of documents.

    Args:
        queries: float32 (q, d).
        documents: float32 (n, d); may be memory-mapped.
        top_k: Ranks to keep.
        equal: Which documents are equal, where that is known already.
    """
    equal = EqualRows.of(documents) if equal is None else equal
    count = min(top_k, len(documents))
    found = Ranking.empty(len(queries), count)
    for start in range(0, len(queries), _QUERIES):
        rows = slice(start, start + _QUERIES)
        block = _tensor(queries[rows])
        best = Ranking.empty(len(block), 0)
        repeated = np.empty((len(block), len(equal.originals)), np.float32)
        for first in range(0, len(documents), _DOCUMENTS):
            part = _tensor(documents[first : first + _DOCUMENTS])
            # Not NumPy's product: its threads would fight the model's for the next query.
            scores = block @ part.T
            _repeat(scores.numpy(), repeated, equal, first)
            kept = _candidates(scores, min(count, len(part)))
            best = ranked(
                np.hstack([best.documents, (kept + first).astype(np.int32)]),
                np.hstack([best.scores, np.take_along_axis(scores.numpy(), kept, axis=1)]),
                min(count, first + len(part)),
            )
        found.documents[rows] = best.documents
        found.scores[rows] = best.scores
    return found


def _tensor(vectors: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.require(vectors, requirements=["C", "W"]))


def _repeat(
    scores: NDArray[np.float32], repeated: NDArray[np.float32], equal: EqualRows, first: int
) -> None:
    """Give documents that repeat an earlier one its score.

    Args:
        scores: (queries, block of documents), changed in place.
        repeated: (queries, originals), filled as originals come by.
        equal: Which documents are equal.
        first: Number of the block's first document.
    """
    ends = [first, first + scores.shape[1]]
    place = slice(*np.searchsorted(equal.originals, ends))
    repeated[:, place] = scores[:, equal.originals[place] - first]
    place = slice(*np.searchsorted(equal.repeats, ends))
    scores[:, equal.repeats[place] - first] = repeated[:, equal.sources[place]]


def _candidates(scores: torch.Tensor, k: int) -> NDArray[np.int64]:
    """Columns of the k largest values a row; of equal values at the k-th place the first."""
    values, columns = torch.topk(scores, k, dim=1)
    last = values[:, -1:]
    tied = (scores == last).sum(dim=1) > (values == last).sum(dim=1)
    for row in torch.nonzero(tied).flatten().tolist():  # rare: a tie across the k-th place
        columns[row] = torch.sort(scores[row], descending=True, stable=True).indices[:k]
    result: NDArray[np.int64] = columns.numpy()
    return result


class DenseRetriever:
    """Cosine or dot product of embeddings."""

    reads_head = False

    def __init__(self, config: DenseConfig, *, dependencies: Dependencies) -> None:
        self.config = config
        model = dependencies.encoder.model
        self.similarity = model.similarity if config.similarity == "auto" else config.similarity
        self._model_normalises = model.normalize
        self._normalised = self.similarity == "cosine" or model.normalize
        self._documents: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._equal = EqualRows.of(self._documents)

    def index(self, corpus: Texts) -> None:
        """See `Retriever`."""
        self._documents = self._vectors(corpus)
        self._equal = EqualRows.of(self._documents)

    def tokenise(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = queries.prompts

    def encode(self, queries: Texts) -> None:
        """See `Retriever`."""
        _ = queries.embeddings

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`."""
        return dense_search(self._vectors(queries), self._documents, top_k, equal=self._equal)

    def rerank(self, queries: Texts, candidates: Ragged, top_k: int) -> Ranking:
        """See `Retriever`."""
        scores = dense_scores(self._vectors(queries), self._documents, candidates)
        return rank_candidates(candidates, scores, top_k)

    def prepare(self, texts: Texts) -> None:
        """See `Vectoriser`: nothing to learn."""

    def vectors(self, texts: Texts) -> NDArray[np.float32]:
        """See `Vectoriser`: the embeddings, normalised where the model normalises them."""
        return normalise(texts.embeddings) if self._model_normalises else texts.embeddings

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: 2·d a document scored, which are all N without candidates."""
        count, width = self._documents.shape
        scored = count if candidates is None else candidates.lengths.mean()
        return SearchWork(
            encodes_documents=True,
            encodes_queries=True,
            head_reads_queries=False,
            head_reads_documents=False,
            scoring_flops=float(dense_scoring_flops(width, 1) * scored),
            index_bytes=self._documents.nbytes,
        )

    def _vectors(self, texts: Texts) -> NDArray[np.float32]:
        return normalise(texts.embeddings) if self._normalised else texts.embeddings
