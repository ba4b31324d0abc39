"""A closed-form alignment head for models that have none (paper section 7).

Ridge regression from normalised document embeddings with a constant column, X, to the documents'
L2-normalised IDF-weighted token sets, Y: W = (XᵀX + λI)⁻¹ XᵀY. It sees the indexed corpus alone,
no query and no judgement. Y stays sparse; the normal equations are summed and solved in float64.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy import sparse

from harness.alignment.head import FitRecord, normalise
from harness.alignment.vocabulary import allowed_tokens, inverse_document_frequency, token_sets
from harness.config import identity
from harness.cost.flops import head_flops
from harness.embedding.store import space_hash
from harness.errors import BadInputError
from harness.files import write_atomically

if TYPE_CHECKING:
    from harness.config import RidgeHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts

_BLOCK = 8192
_VERSION = 1


def ridge_weights(
    embeddings: NDArray[np.float32], targets: sparse.csr_array, *, regularisation: float
) -> NDArray[np.float32]:
    """W = (XᵀX + λI)⁻¹ XᵀY with X = [embeddings, 1].

    Args:
        embeddings: float32 (n, d), as they enter X.
        targets: Y, sparse (n, V).
        regularisation: λ > 0.

    Returns:
        float32 (d + 1, V); the last row belongs to the constant column.

    Raises:
        BadInputError: If λ is too small for a solution in float64.
    """
    count, width = embeddings.shape
    gram = np.zeros((width + 1, width + 1))
    moments = np.zeros((targets.shape[1], width + 1))
    for start in range(0, count, _BLOCK):
        block = embeddings[start : start + _BLOCK].astype(np.float64)
        design = np.hstack([block, np.ones((len(block), 1))])
        gram += design.T @ design
        moments += targets[start : start + _BLOCK].T @ design
    gram[np.diag_indices_from(gram)] += regularisation
    try:
        factor = scipy.linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError as error:
        raise BadInputError(
            f"head.regularisation={regularisation:g} is too small for these embeddings; raise it"
        ) from error
    solved: NDArray[np.float64] = scipy.linalg.cho_solve(
        factor, moments.T, overwrite_b=True, check_finite=False
    )
    # In the layout of a fit that is read back: a product's last bits depend on it.
    return solved.astype(np.float32, order="C")


def ridge_targets(sets: sparse.csr_array) -> sparse.csr_array:
    """Y: token sets weighted by IDF, rows L2-normalised; a row without tokens stays empty."""
    weighted = sets.multiply(inverse_document_frequency(sets)[None, :]).tocsr()
    norms = np.sqrt(weighted.multiply(weighted).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(norms, 1e-12)) @ weighted)


class RidgeHead:
    """The ridge head, fitted on the indexed corpus and kept beside the embedding store."""

    needs_corpus = True

    def __init__(self, config: RidgeHeadConfig, *, encoder: TextEncoder) -> None:
        self.config = config
        self._encoder = encoder
        self._weights: NDArray[np.float32] | None = None
        self.fit_record: FitRecord | None = None

    def identity(self) -> dict[str, Any]:
        """See `Head`; the corpus is part of the task."""
        return {**identity(self.config), "version": _VERSION}

    @property
    def matrix(self) -> NDArray[np.float32]:
        """The weights of the embedding's entries, (V, d)."""
        return self._fitted()[:-1].T

    @property
    def bias(self) -> NDArray[np.float32]:
        """The weights of the constant column, (V,)."""
        constant: NDArray[np.float32] = self._fitted()[-1]
        return constant

    @property
    def vocabulary(self) -> int:
        """See `Head`."""
        return int(self._fitted().shape[1])

    @property
    def flops_per_text(self) -> float:
        """See `Head`: 2·d·V."""
        return float(head_flops(len(self._fitted()) - 1, self.vocabulary))

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """See `Head`: the model's embeddings."""
        return texts.embeddings

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The normalised embedding."""
        return normalise(embeddings)

    def fit(self, corpus: Texts) -> None:
        """Fit on a corpus, or read the fit of the same corpus, space and settings.

        Raises:
            BadInputError: If the corpus is empty, or a stored fit is unreadable or damaged.
        """
        if len(corpus) == 0:
            raise BadInputError("head=ridge cannot be fitted on an empty corpus")
        path = self._path(corpus)
        if path.exists():
            self._weights, self.fit_record = _read(path)
            return
        vectors = self.read(corpus)
        tokens = corpus.literal_tokens
        tokenizer = self._encoder.model.tokenizer
        started = time.perf_counter()
        allowed = allowed_tokens(
            tokenizer,
            len(tokenizer),
            drop_special=True,
            drop_punctuation=False,
            drop_stopwords=False,
        )
        targets = ridge_targets(token_sets(tokens, allowed))
        self._weights = ridge_weights(
            self.project(vectors), targets, regularisation=self.config.regularisation
        )
        self.fit_record = FitRecord(
            documents=len(corpus),
            width=len(self._weights),
            nonzeros=int(targets.nnz),
            vocabulary=targets.shape[1],
            seconds=time.perf_counter() - started,
        )
        _write(path, self._weights, self.fit_record)

    def _path(self, corpus: Texts) -> Path:
        digest = hashlib.sha256(b"".join(corpus.keys)).hexdigest()
        key = {
            "head": self.identity(),
            "space": corpus.space,
            "corpus": digest,
        }
        return self._encoder.store_dir / "heads" / f"ridge-{space_hash(key)}.safetensors"

    def _fitted(self) -> NDArray[np.float32]:
        if self._weights is None:
            raise RuntimeError("fit the head before its weights are read")
        return self._weights


def _write(path: Path, weights: NDArray[np.float32], record: FitRecord) -> None:
    contiguous = np.ascontiguousarray(weights)
    metadata = {
        "record": json.dumps(asdict(record)),
        "checksum": xxhash.xxh3_128_hexdigest(contiguous.data),
    }
    write_atomically(
        path, lambda temporary: save_file({"weights": contiguous}, temporary, metadata=metadata)
    )


def _read(path: Path) -> tuple[NDArray[np.float32], FitRecord]:
    remedy = f"delete {path}; the head will be fitted again"
    try:
        with safe_open(path, framework="np") as tensors:
            weights: NDArray[np.float32] = np.ascontiguousarray(tensors.get_tensor("weights"))
            metadata = tensors.metadata()
        record = FitRecord(**json.loads(metadata["record"]))
        intact = metadata["checksum"] == xxhash.xxh3_128_hexdigest(weights.data)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"a fitted head is unreadable: {remedy}") from error
    if not intact:
        raise BadInputError(f"a fitted head is damaged: {remedy}")
    return weights, record
