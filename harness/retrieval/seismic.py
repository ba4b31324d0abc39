"""Approximate search over aligned tokens with Seismic (Bruch et al., 2024)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse

from harness.errors import BadInputError
from harness.retrieval.aligned_sparse import AlignedSparseRetriever
from harness.retrieval.approximate import RECALL_DEPTH, recall, rescored
from harness.retrieval.inverted_index import InvertedIndex
from harness.retrieval.ranking import Ranking
from harness.retrieval.retriever import Dependencies, SearchWork

if TYPE_CHECKING:
    from harness.config import SeismicConfig
    from harness.embedding.ragged import Ragged
    from harness.embedding.texts import Texts

_SMALL_VOCABULARY = 1 << 16  # Seismic has a smaller index for it


class SeismicRetriever(AlignedSparseRetriever):
    """Documents that Seismic proposes, ordered by the scores of the exact inverted index.

    Seismic groups a token's postings into blocks, and reads those whose summaries promise enough.
    """

    config: SeismicConfig

    def __init__(self, config: SeismicConfig, *, dependencies: Dependencies) -> None:
        super().__init__(config, dependencies=dependencies)
        self._seismic = _import_seismic(f"retrieval.{dependencies.name}")
        self._depth = RECALL_DEPTH

    def index(self, corpus: Texts) -> None:
        """See `Retriever`."""
        self._corpus = corpus
        self.prepare(corpus)
        documents = self.vectors(corpus)
        self._index = InvertedIndex(documents, self.config.index_weights)
        self._engine: Any = self._built(documents) if documents.nnz else None

    def search(self, queries: Texts, top_k: int) -> Ranking:
        """See `Retriever`; documents may be missing, but never in a wrong place."""
        self._depth = top_k
        matrix = self._query_matrix(queries)
        rows = np.full((len(queries), min(top_k, len(self._corpus))), -1, np.int64)
        if self._engine is not None and rows.size:
            for found in self._found(matrix, rows.shape[1]):
                if found:
                    query = int(found[0][0])
                    rows[query, : len(found)] = [int(document) for _, _, document in found]
        ranking = rescored(rows, lambda candidates: self._index.score(matrix, candidates)[0])
        unfound = ranking.scores <= 0  # as in exact search
        return Ranking(
            np.where(unfound, np.int32(-1), ranking.documents),
            np.where(unfound, np.float32(-np.inf), ranking.scores),
        )

    def work(self, queries: Texts, candidates: Ragged | None = None) -> SearchWork:
        """See `Retriever`: Seismic does not tell what it computes."""
        work = super().work(queries, candidates)
        work = replace(work, index_bytes=work.index_bytes + self._engine_bytes())
        if candidates is not None:
            return work
        exact = super().search(queries, min(RECALL_DEPTH, self._depth))
        found = recall(self.search(queries, self._depth), exact) if len(queries) else None
        return replace(work, scoring_flops=None, recall=found)

    def _built(self, documents: sparse.csr_array) -> Any:
        small = documents.shape[1] <= _SMALL_VOCABULARY
        data = self._seismic.SeismicDataset() if small else self._seismic.SeismicDatasetLV()
        data.add_documents_by_id(
            [str(row) for row in range(documents.shape[0])],
            documents.indices.astype(np.int64),
            documents.data,
            documents.indptr.astype(np.int64),
        )
        kind = self._seismic.SeismicIndex if small else self._seismic.SeismicIndexLV
        with _silent():
            return kind.build_from_dataset(
                data,
                n_postings=self.config.n_postings,
                centroid_fraction=self.config.centroid_fraction,
                min_cluster_size=self.config.min_cluster_size,
                summary_energy=self.config.summary_energy,
                max_fraction=self.config.max_fraction,
                num_threads=torch.get_num_threads(),
            )

    def _found(self, queries: sparse.csr_array, k: int) -> list[list[tuple[str, float, str]]]:
        """(query, score, document) of what Seismic finds, a list a query in no order of them."""
        text = self._seismic.get_seismic_string()
        bounds = queries.indptr[1:-1]
        found: list[list[tuple[str, float, str]]] = self._engine.batch_search(
            np.array([str(row) for row in range(queries.shape[0])], text),
            [tokens.astype(text) for tokens in np.split(queries.indices, bounds)],
            np.split(queries.data, bounds),
            k=k,
            query_cut=self.config.query_cut,
            heap_factor=self.config.heap_factor,
            num_threads=torch.get_num_threads(),
        )
        return found

    def _engine_bytes(self) -> int:
        """Bytes of Seismic's index as it is saved; it tells no others."""
        if self._engine is None:
            return 0
        with TemporaryDirectory() as folder, _silent():
            self._engine.save(str(Path(folder) / "index"))
            return sum(file.stat().st_size for file in Path(folder).iterdir())


@contextmanager
def _silent() -> Iterator[None]:
    """Seismic prints on the process's standard output, where results may be expected."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _import_seismic(where: str) -> Any:
    try:
        import seismic
    except ImportError as error:
        raise BadInputError(
            f"{where}: Seismic is not installed; pip install pyseismic-lsr"
        ) from error
    return seismic
