"""The weights of a text's own terms, as lexical retrieval gives them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.alignment.vocabulary import idf_of

_BM25_K1 = 1.2
_BM25_B = 0.75


@dataclass(frozen=True)
class TermWeights:
    """What weighting needs to know of a corpus.

    Attributes:
        idf: ln((N + 1) / (df + 1)) of each term, float32 (V,).
        mean_length: Terms of a document, repeats counted.
    """

    idf: NDArray[np.float32]
    mean_length: float

    @classmethod
    def of(cls, counts: sparse.csr_array) -> TermWeights:
        """Of a corpus.

        Args:
            counts: How often each document holds each term, CSR (n, V).
        """
        return cls.of_parts([counts])

    @classmethod
    def of_parts(cls, parts: Iterable[sparse.csr_array]) -> TermWeights:
        """Of a corpus in one part or more; see `of`."""
        documents, total = 0, 0.0
        frequency: NDArray[np.int64] | None = None
        for counts in parts:
            own = np.bincount(counts.indices, minlength=counts.shape[1])
            frequency = own if frequency is None else frequency + own
            total += float(np.asarray(counts.sum(axis=1), np.float64).sum())
            documents += counts.shape[0]
        if frequency is None:
            raise ValueError("a corpus has one part at least")
        mean = total / documents if documents else 0.0
        return cls(idf_of(frequency, documents), mean)

    def rows(self, counts: sparse.csr_array, weighting: str) -> sparse.csr_array:
        """Weighted texts, CSR float32 (n, V), rows L2-normalised; an empty row stays empty.

        Args:
            counts: How often each text holds each term, CSR (n, V).
            weighting: `binary`; `idf` (paper section 7); `tf_idf`, (1 + ln tf)·idf; `bm25`, the
                saturated and length-normalised tf of BM25 (k1 = 1.2, b = 0.75) times idf.
        """
        weighted = sparse.csr_array(counts, dtype=np.float32, copy=True)
        weighted.data = self._of_counts(weighted, weighting)
        if weighting != "binary":
            weighted.data *= self.idf[weighted.indices]
            weighted.eliminate_zeros()
        norms = np.sqrt(weighted.multiply(weighted).sum(axis=1))
        return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(norms, 1e-12)) @ weighted)

    def _of_counts(self, counts: sparse.csr_array, weighting: str) -> NDArray[np.float32]:
        """The weight of each count, without idf."""
        if weighting in ("binary", "idf"):
            return np.ones_like(counts.data)
        if weighting == "tf_idf":
            return np.asarray(1 + np.log(counts.data), np.float32)
        lengths = np.asarray(counts.sum(axis=1), np.float32)
        relative = np.repeat(lengths / max(self.mean_length, 1e-12), np.diff(counts.indptr))
        saturation = _BM25_K1 * (1 - _BM25_B + _BM25_B * relative)
        weights: NDArray[np.float32] = counts.data * (_BM25_K1 + 1) / (counts.data + saturation)
        return weights.astype(np.float32)
