"""A closed-form alignment head for models that have none (paper section 7).

It sees documents alone, those that are indexed unless another corpus is named; no query and no
judgement. What is fitted is kept beside the embedding store.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harness.alignment.head import FitRecord, normalise
from harness.alignment.lexicon import Lexicon, TokenLexicon, WordLexicon, stemmed
from harness.alignment.regularisation import regularisation_losses
from harness.alignment.ridge_parts import CorpusParts
from harness.alignment.transforms import NoTransform
from harness.config import NoTransformConfig, identity
from harness.cost.flops import head_flops
from harness.embedding.shared_file import fetch_shared, put_shared
from harness.embedding.store import space_hash
from harness.errors import BadInputError
from harness.files import write_atomically

if TYPE_CHECKING:
    from harness.alignment.transforms import Transform
    from harness.config import RidgeHeadConfig
    from harness.embedding.encoder import TextEncoder
    from harness.embedding.texts import Texts

_VERSION = 3


class RidgeHead:
    """The ridge head, fitted on the indexed corpus or on another one."""

    def __init__(
        self,
        config: RidgeHeadConfig,
        *,
        encoder: TextEncoder,
        transform: Transform | None = None,
        other_corpus: Callable[[TextEncoder], Texts] | None = None,
    ) -> None:
        """Take what the head is made of.

        Args:
            config: Its settings.
            encoder: The model's tokenizer and the folder of the store.
            transform: What embeddings go through first.
            other_corpus: Makes the documents of `config.corpus`.

        Raises:
            BadInputError: If Snowball does not know the stemmer's language.
        """
        stemmed([], config.stemmer)
        self.config = config
        self.transform = transform or NoTransform(NoTransformConfig())
        self._encoder = encoder
        self._other_corpus = other_corpus
        self._weights: NDArray[np.float32] | None = None
        self._words: WordLexicon | None = None
        self.fit_record: FitRecord | None = None
        self.needs_corpus = True

    def identity(self) -> dict[str, Any]:
        """See `Head`; the corpus is part of the task, or named by its content."""
        own = {**identity(self.config), "version": _VERSION, **self.transform.identity()}
        if self.config.corpus is not None:
            own["corpus"] = _digest(self._corpus_of(self._encoder))
        return own

    @property
    def lexicon(self) -> Lexicon:
        """See `Head`; the words of a corpus are known after `fit`."""
        if self._words is not None:
            return self._words
        tokenizer = self._encoder.model.tokenizer
        return TokenLexicon(tokenizer, len(tokenizer))

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
        """See `Head`: 2·d·V, and the transform's."""
        reading = head_flops(len(self._fitted()) - 1, self.vocabulary)
        return float(reading) + self.transform.flops_per_text

    def read(self, texts: Texts) -> NDArray[np.float32]:
        """See `Head`: the model's embeddings."""
        return texts.embeddings

    def project(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """The transformed embedding, normalised."""
        return normalise(self.transform.apply(embeddings))

    def fit(self, corpus: Texts) -> None:
        """Fit on a corpus, or read the fit of the same corpus, space and settings.

        A transform that is made of a head's matrix has that of the head of plain embeddings.

        Raises:
            BadInputError: If the corpus is empty or has no word to learn, or a stored fit is
                unreadable or damaged.
        """
        learned = corpus
        if self.config.corpus is not None:
            learned = self._corpus_of(corpus.encoder)
        if len(learned) == 0:
            raise BadInputError("head=ridge cannot be fitted on an empty corpus")
        if self.transform.needs_matrix:
            self._fit(learned, plain=True)
            self.transform.fit(self.read(learned), lambda: self.matrix, learned)
            return
        if self.transform.needs_corpus:
            self.transform.fit(self.read(learned), lambda: self.matrix, learned)
        self._fit(learned, plain=False)

    def _fit(self, corpus: Texts, *, plain: bool) -> None:
        path = self._path(corpus, plain=plain)
        fetch_shared(path, self._encoder.store_address, check=_read)
        if path.exists():
            self._weights, words, self.fit_record = _read(path)
        else:
            self._weights, words, self.fit_record = self._learn(corpus, plain=plain)
            _write(path, self._weights, words, self.fit_record)
            put_shared(path, self._encoder.store_address)
        if words is not None:
            self._words = WordLexicon(words, stemmer=self.config.stemmer)

    def _learn(
        self, corpus: Texts, *, plain: bool
    ) -> tuple[NDArray[np.float32], list[str] | None, FitRecord]:
        """Weights, the words that they belong to unless to tokens, and what it took."""
        words = None
        lexicon = self.lexicon
        if self.config.unit == "word":
            words = WordLexicon.of(
                corpus, stemmer=self.config.stemmer, min_documents=self.config.min_documents
            )
            if not words.size:
                raise BadInputError(
                    f"head=ridge finds no word in the {len(corpus):,} documents that it is fitted "
                    "on; lower head.min_documents, or use head.unit=token"
                )
            lexicon = words
        corpus_parts = CorpusParts(
            corpus, lexicon, read=self.read, project=normalise if plain else self.project
        )
        started = time.perf_counter()
        allowed = lexicon.allowed(
            drop_special=True,
            drop_punctuation=False,
            drop_stopwords=self.config.drop_stopwords,
        )
        corpus_parts.weigh(allowed, self.config.target, self.config.min_documents)
        vocabulary, learned = len(allowed), corpus_parts.learned
        sums = corpus_parts.sums()
        strength = self.config.regularisation
        choice: dict[str, Any] = {}
        if isinstance(strength, str):
            losses = regularisation_losses(
                sums, *corpus_parts.rows_of(), criterion=strength, seed=self.config.seed
            )
            choice = {
                "criterion": strength,
                "strengths": len(losses.strengths),
                "sample": losses.sample,
                "sample_nonzeros": losses.sample_nonzeros,
                "query_nonzeros": losses.query_nonzeros,
            }
            strength = losses.best
        weights = np.zeros((sums.gram.shape[0], vocabulary), np.float32)
        weights[:, learned] = sums.weights(strength)
        record = FitRecord(
            documents=len(corpus),
            width=len(weights),
            nonzeros=sums.nonzeros,
            vocabulary=len(learned),
            seconds=time.perf_counter() - started,
            regularisation=float(strength),
            chosen=bool(choice),
            **choice,
        )
        return weights, None if words is None else words.words, record

    def _corpus_of(self, encoder: TextEncoder) -> Texts:
        assert self._other_corpus is not None
        return self._other_corpus(encoder)

    def _path(self, corpus: Texts, *, plain: bool) -> Path:
        settings = {**identity(self.config), "version": _VERSION}
        del settings["corpus"]
        key = {
            "head": settings if plain else settings | self.transform.identity(),
            "space": corpus.space,
            "corpus": _digest(corpus),
        }
        return self._encoder.store_dir / "heads" / f"ridge-{space_hash(key)}.safetensors"

    def _fitted(self) -> NDArray[np.float32]:
        if self._weights is None:
            raise RuntimeError("fit the head before its weights are read")
        return self._weights


def _digest(corpus: Texts) -> str:
    digest = hashlib.sha256()
    for part in corpus.parts():
        digest.update(b"".join(part.keys))
    return digest.hexdigest()


def _write(
    path: Path, weights: NDArray[np.float32], words: list[str] | None, record: FitRecord
) -> None:
    contiguous = np.ascontiguousarray(weights)
    metadata = {"record": json.dumps(asdict(record)), "words": json.dumps(words)}
    metadata["checksum"] = _checksum(contiguous, metadata)
    write_atomically(
        path, lambda temporary: save_file({"weights": contiguous}, temporary, metadata=metadata)
    )


def _read(path: Path) -> tuple[NDArray[np.float32], list[str] | None, FitRecord]:
    remedy = f"delete {path}; the head will be fitted again"
    try:
        with safe_open(path, framework="np") as tensors:
            weights: NDArray[np.float32] = np.ascontiguousarray(tensors.get_tensor("weights"))
            metadata = tensors.metadata()
        record = FitRecord(**json.loads(metadata["record"]))
        words = json.loads(metadata["words"])
        intact = metadata["checksum"] == _checksum(weights, metadata)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"a fitted head is unreadable: {remedy}") from error
    if not intact:
        raise BadInputError(f"a fitted head is damaged: {remedy}")
    return weights, words, record


def _checksum(weights: NDArray[np.float32], metadata: Mapping[str, str]) -> str:
    digest = xxhash.xxh3_128(weights.data)
    for part in ("words", "record"):
        digest.update(metadata[part].encode())
    return digest.hexdigest()
