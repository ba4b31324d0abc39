"""Other libraries' exact search over given embeddings.

Each is made of the documents and is a function from queries (q, d) and k: those of arrays give
documents and scores (q, k), those of whole tools give query id → document id → score.
"""

from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from harness.retrieval.ranking import Run

Vectors = NDArray[np.float32]
Search = Callable[[Vectors, int], tuple[NDArray[np.int64], Vectors]]
_CHUNK = 50_000  # documents at a time, as both tools have it


def numpy_product(documents: Vectors) -> Search:
    """NumPy's product, then a partition."""

    def search(queries: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
        scores = queries @ documents.T
        best = np.argpartition(-scores, k, axis=1)[:, :k]
        found = np.take_along_axis(scores, best, axis=1)
        order = np.argsort(-found, axis=1)
        return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)

    return search


def torch_product(documents: Vectors) -> Search:
    """PyTorch's product and its topk."""
    held = torch.from_numpy(documents)

    def search(queries: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
        scores, found = torch.topk(torch.from_numpy(queries) @ held.T, k)
        return found.numpy(), scores.numpy()

    return search


def faiss_flat(documents: Vectors) -> Search:
    """FAISS' exact index of inner products."""
    import faiss

    index = faiss.IndexFlatIP(documents.shape[1])
    index.add(documents)

    def search(queries: Vectors, k: int) -> tuple[NDArray[np.int64], Vectors]:
        scores, found = index.search(queries, k)
        return found, scores

    return search


def mteb_search(documents: Vectors) -> Callable[[Vectors, int], Run]:
    """What mteb's `SearchEncoderWrapper` does once a chunk of the corpus is encoded."""
    from mteb.models import search_wrappers
    from mteb.similarity_functions import dot_score

    class Corpus:
        def __init__(self, rows: range) -> None:
            self.rows = rows
            self._ids = [str(row) for row in rows]

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, column: str) -> list[str]:
            return self._ids

        def select(self, rows: range) -> "Corpus":
            return parts[rows.start]

    corpus = Corpus(range(len(documents)))
    parts = {
        start: Corpus(range(start, min(start + _CHUNK, len(documents))))
        for start in range(0, len(documents), _CHUNK)
    }

    def search(queries: Vectors, k: int) -> Run:
        with patch.object(search_wrappers, "create_dataloader", lambda part, **_: part):
            heaps = search_wrappers.chunked_full_corpus_search(
                task_corpus=corpus,
                corpus_chunk_size=_CHUNK,
                query_idx_to_id={row: str(row) for row in range(len(queries))},
                query_embeddings=queries,
                task_metadata=None,
                hf_subset="default",
                hf_split="test",
                top_k=k,
                encode_kwargs={"show_progress_bar": False},
                encode_fn=lambda part, **_: documents[part.rows.start : part.rows.stop],
                similarity_fn=dot_score,
                search_k_offset=1,
            )
        return {query: {name: score for score, name in found} for query, found in heaps.items()}

    return search


def beir_search(documents: Vectors) -> Callable[[Vectors, int], Run]:
    """BEIR's `DenseRetrievalExactSearch` with an encoder that looks embeddings up."""
    from beir.retrieval.search.dense import DenseRetrievalExactSearch

    class Given:
        queries: Vectors

        def encode_queries(self, queries: list[str], **_: object) -> torch.Tensor:
            return torch.from_numpy(self.queries)

        def encode_corpus(self, corpus: list[dict[str, int]], **_: object) -> torch.Tensor:
            first = corpus[0]["row"]
            return torch.from_numpy(documents[first : first + len(corpus)])

    given = Given()
    tool = DenseRetrievalExactSearch(given, corpus_chunk_size=_CHUNK)
    corpus = {f"d{row}": {"text": "", "row": row} for row in range(len(documents))}

    def search(queries: Vectors, k: int) -> Run:
        given.queries = queries
        names = {f"q{row}": "" for row in range(len(queries))}  # a text of its own id is left out
        found: Run = tool.search(corpus, names, k, "dot")
        return {
            query[1:]: {name[1:]: score for name, score in scores.items()}
            for query, scores in found.items()
        }

    return search
