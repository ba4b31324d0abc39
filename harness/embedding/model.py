"""A model: its folders, what it is called, its content hash, its tokenizer and limits."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.embedding.adapters import ADAPTER_FILES, adapter_base, check_adapter
from harness.embedding.attention import BIDIRECTIONAL_TYPES
from harness.embedding.dense_layer import DenseLayer, read_dense
from harness.embedding.families import POSITIONS_AFTER_PADDING, RELATIVE_POSITIONS
from harness.embedding.folder_settings import FolderSettings, read_folder_settings
from harness.embedding.locate import locate, weight_files
from harness.embedding.tensors import TensorPlace, checked_folder, find_tensor
from harness.errors import BadInputError, brief
from harness.files import read_json

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
_LONGEST_SENSIBLE = 1_000_000  # tokenizers say "no limit" with numbers like 10**30
_SHA256 = re.compile(r"[0-9a-f]{64}")


class EmbeddingModel:
    """A Hugging Face model on disk, identified by what it contains.

    Reading the hash, the tokenizer or one tensor never loads the whole model.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    @cached_property
    def root(self) -> Path:
        """The local folder that is named; a hub model is fetched first.

        Raises:
            BadInputError: If there is none.
        """
        patterns = ["*.safetensors", *(["*.py"] if self.config.trust_remote_code else [])]
        if self.config.path:
            return locate(self.config.path, setting="model.path", patterns=patterns)
        pinned = f"@{self.config.revision}" if self.config.revision else ""
        reference = f"hub://{self.config.name}{pinned}"
        return locate(reference, setting="model.name", patterns=patterns)

    @cached_property
    def folder(self) -> Path:
        """The folder with the backbone's weights.

        Raises:
            BadInputError: If it holds no model with safetensors weights.
        """
        folder = self._own
        if self._is_adapter:
            base = adapter_base(folder)
            folder = locate(
                base,
                setting=f"the base model of {folder}",
                remedy=f"model.path=BASE model.adapters=[{folder}]",
            )
        folder = checked_folder(folder, setting="model.path")
        if (folder / ADAPTER_FILES[0]).is_file():
            # transformers would put it on by itself, and the model's identity would not know.
            raise BadInputError(
                f"{folder} holds weights and {ADAPTER_FILES[0]}; move the adapter to a folder of "
                "its own and name it in model.adapters=[...], or remove it"
            )
        if self.config.trust_remote_code and any("--" in code for code in _remote_code(folder)):
            raise BadInputError(
                f"{folder} runs code of another repository, which is not pinned; copy the code "
                "into the folder"
            )
        return folder

    @property
    def runs_own_code(self) -> bool:
        """Whether code that came with the model is run."""
        return self.config.trust_remote_code and bool(_remote_code(self.folder))

    @cached_property
    def adapters(self) -> tuple[Path, ...]:
        """Folders of the adapters, in the order in which they are applied."""
        named = [locate(reference, setting="model.adapters") for reference in self.config.adapters]
        adapters = ([self._own] if self._is_adapter else []) + named
        for adapter in adapters:
            check_adapter(adapter)
        return tuple(adapters)

    @cached_property
    def published(self) -> FolderSettings:
        """What a sentence-transformers folder says of its model.

        Raises:
            BadInputError: See `read_folder_settings`.
        """
        return read_folder_settings(self.root)

    @cached_property
    def dense(self) -> tuple[DenseLayer, ...]:
        """Dense layers between pooling and the embedding."""
        return tuple(read_dense(self.root / folder) for folder in self.published.dense)

    @property
    def normalize(self) -> bool:
        """Whether the model's embedding is L2-normalised."""
        if self.config.normalize is not None:
            return self.config.normalize
        return self.published.normalize

    @property
    def similarity(self) -> str:
        """How embeddings are compared: `cosine` or `dot`.

        Raises:
            BadInputError: If the folder asks for another one.
        """
        similarity = self.config.similarity or self.published.similarity
        if similarity not in ("cosine", "dot"):
            raise BadInputError(
                f"{self.root} compares embeddings by {similarity!r}; choose "
                "model.similarity=cosine or dot"
            )
        return similarity

    @property
    def attention(self) -> str | None:
        """`causal` or `bidirectional`; None for the architecture's own.

        A decoder that was trained to attend bidirectionally says `"is_causal": false` in its
        `config.json`; transformers then builds its masks so, its kernels have to be told.
        """
        if self.config.attention is not None:
            return self.config.attention
        text = self.text_settings
        told = text.get("is_causal") is False and text.get("model_type") in BIDIRECTIONAL_TYPES
        return "bidirectional" if told else None

    @property
    def name(self) -> str:
        """`organisation/model`, as results and tables show it."""
        if self.config.name:
            return self.config.name
        if self.config.path and self.config.path.startswith("hub://"):
            return self.config.path.removeprefix("hub://").partition("@")[0]
        return f"local/{self.root.resolve().name}"

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over weights, adapters, configuration and tokenizer: the model's identity."""
        digest = hashlib.sha256()
        files = [self.folder / name for name in _HASHED] + weight_files(self.folder)
        if self.config.trust_remote_code:
            files += sorted(self.folder.glob("*.py"))
        if self.tokenizer_folder != self.folder:
            files += [self.tokenizer_folder / name for name in _HASHED]
        for adapter in self.adapters:
            files += [adapter / name for name in ADAPTER_FILES]
        for layer in self.published.dense:
            files += [self.root / layer / name for name in ("config.json", "model.safetensors")]
        for file in files:
            if file.is_file():
                digest.update(file.name.encode() + b"\0")
                digest.update(_file_digest(file))
        return digest.hexdigest()

    @property
    def revision(self) -> str:
        """The pinned hub revision, or the content hash's first 16 digits.

        The revision is that of `name` on the hub; weights from elsewhere are told by their content.
        """
        pinned = None if self.config.path or self.config.adapters else self.config.revision
        return pinned or self.weights_hash[:16]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The parsed `config.json`."""
        return read_json(self.folder / "config.json")

    @property
    def text_settings(self) -> Mapping[str, Any]:
        """The part of `config.json` that is of the text model; all of it where it has no parts."""
        text = self.settings.get("text_config")
        return text if isinstance(text, Mapping) and text else self.settings

    @property
    def state_width(self) -> int | None:
        """Width of the token states by `config.json`, None where it does not say."""
        text = self.text_settings
        # OPT's smallest project their states to another width.
        keys = ("word_embed_proj_dim", "hidden_size", "d_model", "n_embd", "dim")
        width = next((text[key] for key in keys if text.get(key)), None)
        return width if isinstance(width, int) else None

    @cached_property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer: the named model's own if it has one, else the backbone's."""
        return self._own if _has_vocabulary(self._own) else self.folder

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer; it cuts long texts at their end.

        Raises:
            BadInputError: If it cannot be loaded or is not a fast one.
        """
        from transformers import AutoTokenizer

        folder = self.tokenizer_folder
        if not _has_vocabulary(folder):
            # transformers makes up a tokenizer of five words for some models.
            raise BadInputError(
                f"{folder} holds no tokenizer; copy the model's tokenizer.json into it"
            )
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder,
                trust_remote_code=self.config.trust_remote_code,
                truncation_side="right",
                local_files_only=True,
            )
        except Exception as error:
            raise BadInputError(
                f"no tokenizer could be loaded from {folder} ({brief(error)}); the folder "
                "needs tokenizer.json"
            ) from error
        if not getattr(tokenizer, "is_fast", False):
            raise BadInputError(
                f"the tokenizer in {folder} is not a fast one; convert it to tokenizer.json"
            )
        if self.published.lower_case:
            _lower_case(tokenizer)
        return tokenizer

    @property
    def positions(self) -> int | None:
        """How many tokens the model has positions for; None where it does not say or has none."""
        return _positions(self.text_settings)

    @cached_property
    def max_length(self) -> int:
        """Longest prompt in tokens.

        The configured one, else what a sentence-transformers folder says, else the smallest of the
        model's limits.

        Raises:
            BadInputError: If none is known, or the configured one is above the model's limit.
        """
        positions = self.positions
        if self.config.max_length is not None:
            if positions and self.config.max_length > positions:
                raise BadInputError(
                    f"model.max_length={self.config.max_length} is above the {positions} positions "
                    "that the model has by its config.json; lower it"
                )
            return self.config.max_length
        limits = [positions, self.published.max_length or self.tokenizer.model_max_length]
        known = [int(limit) for limit in limits if limit and limit < _LONGEST_SENSIBLE]
        if not known:
            raise BadInputError("the model states no longest input; give model.max_length=...")
        return min(known)

    def find_tensor(self, names: tuple[str, ...]) -> TensorPlace | None:
        """Where the first of the named tensors is, best name first; nothing is read.

        Raises:
            BadInputError: If a weights file is unreadable.
        """
        return find_tensor(self.folder, names)

    @cached_property
    def _own(self) -> Path:
        """The folder of the named model itself, within `root`."""
        return self.root / self.published.transformer

    @property
    def _is_adapter(self) -> bool:
        """Whether the named model is an adapter without weights of its own."""
        return (self._own / ADAPTER_FILES[0]).is_file() and not weight_files(self._own)


def _positions(text: Mapping[str, Any]) -> int | None:
    """How many tokens a model has positions for, by its text settings; None where unsaid."""
    if text.get("model_type") in RELATIVE_POSITIONS:
        return None
    positions = text.get("max_position_embeddings") or text.get("n_positions")
    if not isinstance(positions, int) or positions < 1:
        return None
    if text.get("model_type") in POSITIONS_AFTER_PADDING:
        padding = text.get("pad_token_id")
        return positions - (padding if isinstance(padding, int) else 1) - 1
    return positions


def _remote_code(folder: Path) -> list[str]:
    """Code that `config.json` names and that runs with `trust_remote_code`."""
    named = read_json(folder / "config.json").get("auto_map")
    return [str(code) for code in named.values()] if isinstance(named, dict) else []


def _has_vocabulary(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _VOCABULARIES)


def _file_digest(file: Path) -> bytes:
    """SHA-256 of a file; a hub cache already names large files by it."""
    target = file.resolve()
    if file.is_symlink() and target.parent.name == "blobs" and _SHA256.fullmatch(target.name):
        return bytes.fromhex(target.name)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _lower_case(tokenizer: Any) -> None:
    """Make a fast tokenizer lower-case its input first."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    steps = [normalizers.Lowercase()] + ([backend.normalizer] if backend.normalizer else [])
    backend.normalizer = normalizers.Sequence(steps)
