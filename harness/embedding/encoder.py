"""Texts to embeddings through the store: what is stored is read, the rest is encoded once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.config import identity
from harness.cost.energy import EnergyMeter
from harness.cost.flops import QuadraticFlops, added_flops
from harness.cost.memory import PeakHostMemory
from harness.embedding.adapters import adapter_parameters
from harness.embedding.formats import decode, encode
from harness.embedding.instructions import Side, TaskInstruction, Template
from harness.embedding.prompts import (
    Layout,
    Prompts,
    bare_prompts,
    literal_tokens,
    shorten_by_words,
    tokenise,
)
from harness.embedding.ragged import Ragged
from harness.embedding.shared_store import open_store
from harness.embedding.spreading import (
    SpreadsEncoding,
    computed_lengths,
    fill_spread,
    refuse_not_finite,
)
from harness.embedding.texts import EncodingRecord, Texts
from harness.interrupts import first_interrupt_held
from harness.progress import progress_bar, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.config import InstructionConfig, PoolingConfig
    from harness.embedding.backend import Backend
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.store import EmbeddingStore

_TOKENISED_AT_ONCE = 1024
_SHARD_BYTES = 64 << 20
_COMPARED = 256  # embeddings that are looked at for being all alike
_SHARD_SECONDS = 30.0  # a killed run loses at most this much encoding


class TextEncoder:
    """One model, pooling and template: makes `Texts` and encodes them."""

    def __init__(
        self,
        *,
        model: EmbeddingModel,
        pooling: PoolingConfig,
        template: Template,
        backend: Backend,
        store_dir: Path,
        store_dtype: str = "float32",
        store_address: str | None = None,
    ) -> None:
        """Take the parts.

        Args:
            model: Tokenizer, weights and what its folder says.
            pooling: How token states become an embedding.
            template: What surrounds a text.
            backend: Runs the model.
            store_dir: The store's folder, or that of its mirror.
            store_dtype: The format that the store keeps embeddings in, one of `FORMATS`.
            store_address: Where machines share the store; None for a folder.
        """
        self.model = model
        self.template = template
        self.backend = backend
        self.store_dir = store_dir
        self.store_address = store_address
        self.store_dtype = store_dtype
        self.pooling = pooling

    def for_task(self, task: TaskInstruction) -> TextEncoder:
        """The same encoder with a task's instruction; itself if its template has no place for one.

        The backend, and with it the loaded network, is shared.
        """
        if not self.template.wants_instruction:
            return self
        return self._with(self.template.for_task(task))

    def with_template(self, config: InstructionConfig) -> TextEncoder:
        """The same encoder with other templates, not yet bound to a task."""
        return self._with(Template(config, copies=self.pooling.copies))

    def with_template_of(self, other: TextEncoder) -> TextEncoder:
        """The same encoder with another encoder's template, bound to the task that that one is."""
        return self._with(other.template)

    def _with(self, template: Template) -> TextEncoder:
        return TextEncoder(
            model=self.model,
            pooling=self.pooling,
            template=template,
            backend=self.backend,
            store_dir=self.store_dir,
            store_address=self.store_address,
            store_dtype=self.store_dtype,
        )

    def layout(self, side: Side) -> Layout:
        """How prompts of a side are put together."""
        config = self.template.config
        return Layout(
            pieces=self.template.pieces(side),
            max_length=self.model.max_length,
            text_max_length=self.model.config.text_max_length,
            join_tokens=config.join == "tokens",
            count_text=config.locate == "count",
            needs_first=self.pooling.needs_first,
            needs_last=self.pooling.needs_last,
        )

    @property
    def flops_beside_backbone(self) -> QuadraticFlops:
        """FLOPs of a text besides the backbone's: stacked LoRA and dense layers."""
        config = self.model.config
        merged = config.merge_last_adapter or self.backend.merges_adapters
        stacked = self.model.adapters and not merged
        return added_flops(
            lora_parameters=adapter_parameters(self.model.adapters[-1]) if stacked else 0,
            dense_layers=[layer.weight.shape for layer in self.model.dense],
        )

    def space(self, side: Side) -> dict[str, Any]:
        """Everything that decides an embedding besides its text."""
        return {
            "weights": self.model.weights_hash,
            "pooling": identity(self.pooling),
            "instruction": self.template.identity(
                side, located=not self.pooling.include_instruction
            ),
            "side": side,
            "attention": self.model.config.attention,
            "merge_last_adapter": self.model.config.merge_last_adapter
            and bool(self.model.adapters),
            "own_code": self.model.runs_own_code,
            "max_length": self.model.max_length,
            "text_max_length": self.model.config.text_max_length,
            "text_cut": self.model.config.text_cut,
            "lower_case": self.model.published.lower_case,
            "dtype": self.backend.dtype,
            **self.backend.space,
            **({} if self.store_dtype == "float32" else {"store_dtype": self.store_dtype}),
        }

    def texts(self, ids: Sequence[str], texts: Sequence[str], side: Side) -> Texts:
        """Texts whose embeddings come from the store where they can."""
        return Texts(ids, texts, side=side, encoder=self, stored=True)

    def fresh(self, ids: Sequence[str], texts: Sequence[str], side: Side) -> Texts:
        """Texts that are always computed anew, as a live query is."""
        return Texts(ids, texts, side=side, encoder=self, stored=False)

    def tokenise(self, texts: Sequence[str], side: Side) -> Prompts:
        """Tokenised prompts of bare texts."""
        layout = self.layout(side)
        return Prompts.concatenate(
            [tokenise(self.model.tokenizer, self._cut(chunk), layout) for chunk in _chunks(texts)]
        )

    def literal_tokens(self, texts: Sequence[str]) -> Ragged:
        """Token ids of bare texts, without template and special tokens."""
        return Ragged.concatenate(
            literal_tokens(self.model.tokenizer, self._cut(chunk), max_length=self.model.max_length)
            for chunk in _chunks(texts)
        )

    def _cut(self, texts: Sequence[str]) -> list[str]:
        """Texts as they are put into prompts: stripped, and cut where words are dropped."""
        stripped = [self.template.strip(text) for text in texts]
        limit = self.model.config.text_max_length
        if limit is None or self.model.config.text_cut == "tokens":
            return stripped
        # The package measures before it strips, which changes no count of words.
        return shorten_by_words(
            self.model.tokenizer, stripped, limit, max_length=self.model.max_length
        )

    def prompts(self, texts: Texts) -> Prompts:
        """Tokenised prompts; where nothing can merge with the text, of its literal tokens."""
        layout = self.layout(texts.side)
        if layout.is_bare:
            return bare_prompts(self.model.tokenizer, texts.literal_tokens, layout)
        return self.tokenise(texts.texts, texts.side)

    def compute(self, texts: Texts) -> NDArray[np.float32]:
        """Embeddings straight from the model, as the store would keep them: float32 (n, d)."""
        prompts = texts.prompts
        result: NDArray[np.float32] | None = None
        for rows, vectors, _ in self._embed(prompts, texts.ids):
            if result is None:
                result = np.empty((len(prompts.ids), vectors.shape[1]), np.float32)
            result[rows] = vectors
        if result is None:
            return np.zeros((0, 0), np.float32)
        return decode(encode(result, self.store_dtype), self.store_dtype)

    def store(self, side: Side) -> EmbeddingStore:
        """The store of a side's embeddings."""
        return self._store_opener(side, self.store_dir)()

    def _store_opener(self, side: Side, folder: Path) -> Callable[[], EmbeddingStore]:
        """Opens that store, in whatever process it is called."""
        place, name = self.store_address or str(folder), self.model.name
        return partial(open_store, place, self.space(side), label=name, kind=self.store_dtype)

    def through_store(
        self, texts: Texts
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], EncodingRecord]:
        """Embeddings (n, d), true tokens (n,), and what was read and encoded for them."""
        store = texts.store or self.store(texts.side)
        keys = texts.keys
        distinct = dict.fromkeys(keys)
        first_row = {key: row for row, key in reversed(list(enumerate(keys)))}
        wanted = list(distinct)
        missing = [key for key, place in zip(wanted, store.find(wanted), strict=True) if place < 0]
        encoded = padded = np.zeros(0, np.int64)
        seconds, peak, joules = 0.0, None, None
        if missing:
            rows = np.array([first_row[key] for key in missing], np.int64)
            self.backend.load()
            with PeakHostMemory() as memory, EnergyMeter() as energy:
                started = time.perf_counter()
                encoded, padded = self._fill(store, texts, rows, missing)
                seconds = time.perf_counter() - started
            peak, joules = memory.peak_bytes, energy.joules
        places = store.find(keys)
        vectors, lengths = store.read(places)
        if len(wanted) > 1 and np.allclose(vectors[:_COMPARED], vectors[0], rtol=1e-3, atol=1e-5):
            say(
                f"the embeddings of the {texts.side} texts are all alike; a causal model's first "
                "token, for instance, sees no text"
            )
        record = EncodingRecord(
            texts=len(keys),
            distinct=len(wanted),
            read=len(wanted) - len(missing),
            encoded=len(missing),
            seconds=seconds,
            lengths=encoded,
            padded_lengths=padded,
            peak_host_bytes=peak,
            joules=joules,
            disk_bytes=store.disk_bytes(places),
        )
        return vectors, lengths, record

    def _fill(
        self, store: EmbeddingStore, texts: Texts, rows: NDArray[np.int64], keys: list[bytes]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Encode rows into the store, shard by shard: their true tokens, and with padding.

        Raises:
            KeyboardInterrupt: On Ctrl-C, once the running batch is in the store too.
        """
        prompts = texts.prompts.select(rows)
        lengths = prompts.ids.lengths
        ids = [texts.ids[row] for row in rows]
        if isinstance(self.backend, SpreadsEncoding) and self.backend.spreads(lengths):
            padded = fill_spread(
                self.backend,
                prompts,
                keys,
                self._store_opener(texts.side, self.store_dir.resolve()),
                include_instruction=self.pooling.include_instruction,
                description=f"Encoding {texts.side} texts",
                check=lambda batch, finite: refuse_not_finite(batch, finite, ids, self.model.name),
            )
            store.refresh()
            return lengths, padded
        padded = np.zeros_like(lengths)
        waiting: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
        written = time.monotonic()

        def flush() -> None:
            nonlocal written
            done = np.concatenate([batch for batch, _ in waiting])
            store.add(
                [keys[row] for row in done],
                np.concatenate([vectors for _, vectors in waiting]),
                lengths[done],
            )
            waiting.clear()
            written = time.monotonic()

        with (
            first_interrupt_held() as interrupted,
            progress_bar(f"Encoding {texts.side} texts", len(rows), unit="tokens") as advance,
        ):
            for batch, vectors, computed in self._embed(prompts, ids):
                waiting.append((batch, vectors))
                padded[batch] = computed_lengths(lengths[batch], computed)
                advance(len(batch), int(lengths[batch].sum()))
                if interrupted():
                    break
                full = sum(vectors.nbytes for _, vectors in waiting) >= _SHARD_BYTES
                if full or time.monotonic() - written > _SHARD_SECONDS:
                    flush()
            if waiting:
                flush()
        return lengths, padded

    def _embed(
        self, prompts: Prompts, ids: Sequence[str]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], int]]:
        for batch, vectors, computed in self.backend.embed(
            prompts, include_instruction=self.pooling.include_instruction
        ):
            finite = np.asarray(np.isfinite(vectors).all(axis=1))
            refuse_not_finite(batch, finite, ids, self.model.name)
            yield batch, vectors, computed


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Texts in pieces that are tokenised at once."""
    for start in range(0, len(texts), _TOKENISED_AT_ONCE):
        yield texts[start : start + _TOKENISED_AT_ONCE]
