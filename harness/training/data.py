"""Training data: texts and pairs from files of JSON lines, as token ids."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.embedding.ragged import Ragged
from harness.errors import BadInputError
from harness.evaluation.tasks.json_lines import FaultError, field, parsed

if TYPE_CHECKING:
    import torch

_MOST_HELD_OUT = 512
_TOKENIZED_AT_ONCE = 4096


@dataclass(frozen=True)
class Pair:
    """A query, the text that answers it, and texts that do not."""

    query: str
    positive: str
    negatives: tuple[str, ...] = ()


def read_texts(path: Path) -> list[str]:
    """The texts of a file of JSON lines, each with a `text`.

    Raises:
        BadInputError: If the file cannot be read, a line is malformed, or there is no text.
    """
    found = [text for _, text in parsed(_existing(path), lambda record: _text(record, "text"))]
    if not found:
        raise BadInputError(f"{path} holds no texts; give JSON lines with a text each")
    return found


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file of JSON lines.

    Raises:
        BadInputError: If the file cannot be read, a line is malformed, or there is no pair.
    """
    found = [pair for _, pair in parsed(_existing(path), _pair)]
    if not found:
        raise BadInputError(f"{path} holds no pairs; give JSON lines with query and positive")
    return found


def split(texts: Sequence[str], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which texts are trained on and which are held out, by a hash of each text.

    Args:
        texts: Texts; equal ones fall on the same side.
        share: Of texts held out, but some 512 at most.

    Returns:
        Indices of both, ascending.
    """
    hashes = np.fromiter((zlib.crc32(text.encode()) for text in texts), np.int64, len(texts))
    limit = min(share, _MOST_HELD_OUT / max(len(texts), 1)) * 2**32
    held = hashes < limit
    return np.flatnonzero(~held), np.flatnonzero(held)


def tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> Ragged:
    """Token ids of texts with the special tokens that the tokenizer adds, cut at `max_length`."""
    rows: list[list[int]] = []
    for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
        part = list(texts[start : start + _TOKENIZED_AT_ONCE])
        rows += tokenizer(part, truncation=True, max_length=max_length)["input_ids"]
    return Ragged.from_rows(rows)


def padded(
    rows: Ragged, indices: NDArray[np.int64], padding: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Some rows, padded on the right to the longest.

    Returns:
        Ids int64 (n, length) and the mask bool (n, length), True on tokens.
    """
    import torch

    part = rows.select(indices)
    lengths = part.lengths
    mask = np.arange(max(int(lengths.max(initial=1)), 1)) < lengths[:, None]
    ids = np.full(mask.shape, padding, np.int64)
    ids[mask] = part.values
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def padding_token(tokenizer: Any) -> int:
    """What fills a batch: padding, else the end token; masked out, so it only has to be an id."""
    for token in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    return 0


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, the first 16 digits.

    Raises:
        BadInputError: If there is no such file.
    """
    with _existing(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_file():
        raise BadInputError(
            f"{path} is no file; give train.text=FILE, train.pairs=FILE (make corpus makes "
            "those of train=pydoc_llama)"
        )
    return path


def _pair(record: dict[str, Any]) -> Pair:
    negatives = record.get("negatives", [])
    if not isinstance(negatives, list):
        raise FaultError('"negatives" must be a list of texts')
    for text in negatives:
        _check(text, '"negatives" must be a list of texts that are not empty')
    return Pair(_text(record, "query"), _text(record, "positive"), tuple(negatives))


def _text(record: dict[str, Any], key: str) -> str:
    return _check(field(record, key), f'"{key}" must be a text that is not empty')


def _check(text: object, rule: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise FaultError(rule)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FaultError(f"{rule}, without half a surrogate pair") from None
    return text
