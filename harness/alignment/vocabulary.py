"""Which tokens may stand in a sparse index, and how often they occur."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.embedding.ragged import Ragged

WORD_BEGINNINGS = ("\u2581", "\u0120")  # SentencePiece's and byte-level BPE's
_SPACE = "\u2423"
_PART_OF_A_CHARACTER = "\ufffd"  # what a byte of a longer character decodes to


def allowed_tokens(
    tokenizer: Any,
    size: int,
    *,
    drop_special: bool,
    drop_punctuation: bool,
    drop_stopwords: bool,
) -> NDArray[np.bool_]:
    """Which of `size` token ids may be kept.

    Ids that a padded matrix has and the tokenizer has not are never kept.

    Args:
        tokenizer: A Hugging Face tokenizer.
        size: Rows of the head's matrix.
        drop_special: Leave special tokens out.
        drop_punctuation: Leave out tokens without a letter or digit. A token that is a part of a
            character stays.
        drop_stopwords: Leave out scikit-learn's English stopwords, whole words only.

    Returns:
        bool (size,).
    """
    allowed = np.zeros(size, np.bool_)
    known = min(size, len(tokenizer))
    allowed[:known] = True
    if drop_special:
        added = tokenizer.added_tokens_decoder  # reserved tokens are special without a role
        reserved = [token for token, content in added.items() if content.special]
        special = np.array([*tokenizer.all_special_ids, *reserved], np.int64)
        allowed[special[special < size]] = False
    if drop_punctuation or drop_stopwords:
        # Decoded: byte-level tokens write spaces, punctuation and other bytes with letters.
        pieces = tokenizer.convert_ids_to_tokens(range(known))
        tokens = [tokenizer.convert_tokens_to_string([piece]) for piece in pieces]
        if drop_punctuation:
            lettered = [
                any(char.isalnum() or char == _PART_OF_A_CHARACTER for char in token)
                for token in tokens
            ]
            allowed[:known] &= np.array(lettered, np.bool_)
        if drop_stopwords:
            from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

            begins = [piece.startswith(WORD_BEGINNINGS) for piece in pieces]
            marked = any(begins)  # else inner pieces are marked, with ##
            stop = [
                (begin or not marked) and token.strip().lower() in ENGLISH_STOP_WORDS
                for begin, token in zip(begins, tokens, strict=True)
            ]
            allowed[:known] &= ~np.array(stop, np.bool_)
    return allowed


def token_counts(tokens: Ragged, allowed: NDArray[np.bool_]) -> sparse.csr_array:
    """How often each text holds each allowed token, float32 CSR (n, V) with sorted columns."""
    size = len(allowed)
    kept = tokens.keep((tokens.values < size) & allowed[np.minimum(tokens.values, size - 1)])
    matrix = sparse.csr_array(
        (np.ones(len(kept.values), np.float32), kept.values, kept.offsets), shape=(len(kept), size)
    )
    matrix.sum_duplicates()
    return matrix


def token_sets(tokens: Ragged, allowed: NDArray[np.bool_]) -> sparse.csr_array:
    """The set of allowed tokens of each text, as a float32 CSR matrix of ones, (n, V)."""
    matrix = token_counts(tokens, allowed)
    matrix.data[:] = 1.0
    return matrix


def inverse_document_frequency(sets: sparse.csr_array) -> NDArray[np.float32]:
    """ln((N + 1) / (df + 1)) of every token: float32 (V,), 0 for a token that all texts hold.

    A token that no text holds has the largest value, ln(N + 1); it has no postings either.
    """
    return idf_of(np.bincount(sets.indices, minlength=sets.shape[1]), sets.shape[0])


def idf_of(frequency: NDArray[np.int64], documents: int) -> NDArray[np.float32]:
    """See `inverse_document_frequency`, from how many of the texts hold each token."""
    values: NDArray[np.float64] = np.log((documents + 1) / (frequency + 1))
    return values.astype(np.float32)


def readable_token(tokenizer: Any, token: int) -> str:
    """A token as a person reads it; a space that it begins with is shown as `␣`."""
    piece = tokenizer.convert_ids_to_tokens(token)
    if token in tokenizer.all_special_ids:
        return str(piece)
    decoded = tokenizer.convert_tokens_to_string([piece])
    if piece.startswith(WORD_BEGINNINGS):
        return _SPACE + str(decoded).removeprefix(" ")
    return str(decoded)
