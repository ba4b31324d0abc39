"""Inference by the workers of a Ray cluster: blocks of prompts out, embeddings in the store."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.config import TransformersBackendConfig
from harness.embedding.ray_blocks import block_rows, to_table, vectors_of
from harness.embedding.ray_cluster import Cluster, Workers, check_installed
from harness.embedding.ray_worker import EXPECTED, FAILURE, BlockEncoder, EncodingJob
from harness.embedding.spreading import Filled
from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.config import ModelConfig, RayBackendConfig
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.pooling import Pooling
    from harness.embedding.prompts import Prompts
    from harness.embedding.store import EmbeddingStore

Batch = tuple[NDArray[np.int64], NDArray[np.float32], int]

_BLOCK_TOKENS = {"cpu": 1 << 17, "cuda": 1 << 18}
_PLAIN = ("attention", "token_budget", "padding_side")  # settings that go to workers as they are


class RayBackend:
    """transformers in the actors of a Ray cluster, each with a copy of the model.

    A corpus is cut into blocks by tokens. Each goes to an actor as token ids; the actor writes the
    embeddings into the store, a shard a block, and says which they are. So the texts of a killed
    run are encoded again only where their block was not written, and an actor's death costs that
    block: another encodes it. Nothing depends on how many actors there are.

    What fits into one block does not go through the cluster, where a live query would wait longer
    for Ray than for the model: this process encodes it, with the model loaded here too. Only where
    workers have GPUs and this process has none, every text that is stored is the workers'.
    """

    merges_adapters = TransformersBackend.merges_adapters

    def __init__(
        self,
        config: RayBackendConfig,
        *,
        model: EmbeddingModel,
        pooling: Pooling,
        memory: Path | None = None,
    ) -> None:
        """Prepare; the cluster is joined or started when the first block goes there.

        Args:
            config: The cluster, its workers, and what each of them is told.
            model: The model; where the workers run, it is under the same path.
            pooling: Reduces token states to embeddings.
            memory: Not used: batches are those of the first guess, or of `token_budget`.

        Raises:
            BadInputError: If Ray is not there.
        """
        check_installed()
        self.config = config
        self._model = model
        self._pooling = pooling
        self.cluster = Cluster(config.address)
        self._sent: Workers | None = None

    @property
    def device(self) -> str:
        """The device of this process, where heads and single queries are computed."""
        return self._here.device

    @cached_property
    def dtype(self) -> str:
        """See `TransformersBackend`: by the workers' device."""
        plain = TransformersBackend(
            self._told(self._kind), model=self._model, pooling=self._pooling
        )
        plain.__dict__["device"] = self._kind  # which need not be here
        return plain.dtype

    @property
    def space(self) -> dict[str, Any]:
        """See `Backend`: nothing, these are the embeddings of transformers."""
        return {}

    @property
    def device_count(self) -> int:
        """Devices like this process's that blocks were last sent to: GPUs, or whole machines."""
        if self._sent is None:
            return 1
        if self._sent.gpus:
            return max(round(self._sent.count * self._sent.gpus), 1)
        return min(self._sent.count, len(self.cluster.machine_cpus))

    @property
    def shard_documents(self) -> int:
        """Documents of a shard; see `SpreadsSearch`."""
        return self.config.shard_documents

    def put(self, value: Any) -> Any:
        """See `SpreadsSearch`."""
        return self.cluster.put(value)

    def spread(self, function: Callable[..., Any], calls: Sequence[Sequence[Any]]) -> list[Any]:
        """See `SpreadsSearch`.

        Raises:
            BadInputError: What the function says that the user can mend, or that machines die again
                and again.
        """
        return self.cluster.spread(function, calls, retries=self.config.retries)

    def load(self) -> None:
        """Nothing: workers load the model with their first block, this process with its first."""

    def synchronise(self) -> None:
        """See `TransformersBackend`; what workers embed is handed over when it is done."""
        self._here.synchronise()

    def spreads(self, lengths: NDArray[np.int64]) -> bool:
        """See `SpreadsEncoding`."""
        return self._kind != self._here.device.partition(":")[0] or self._are_many(lengths)

    def embed(self, prompts: Prompts, *, include_instruction: bool) -> Iterator[Batch]:
        """See `TransformersBackend.embed`; what is more than a block is the cluster's."""
        if not self._are_many(prompts.ids.lengths):
            yield from self._here.embed(prompts, include_instruction=include_instruction)
            return
        job = self._job(include_instruction, None)
        for found in self._results(self._tables(prompts, None), job):
            rows, computed = (found.column(name).to_numpy() for name in ("row", "computed"))
            yield rows, vectors_of(found), int(computed.sum())

    def fill(
        self,
        prompts: Prompts,
        keys: Sequence[bytes],
        open_store: Callable[[], EmbeddingStore],
        *,
        include_instruction: bool,
    ) -> Generator[Filled, None, None]:
        """See `SpreadsEncoding`.

        Raises:
            BadInputError: What a worker says that the user can mend, or that workers die again and
                again.
            RuntimeError: If a worker fails otherwise.
        """
        job = self._job(include_instruction, open_store)
        seen = np.zeros(len(prompts.ids), np.bool_)
        for found in self._results(self._tables(prompts, keys), job):
            rows, computed, finite = (
                found.column(name).to_numpy() for name in ("row", "computed", "finite")
            )
            new = ~seen[rows]  # a block that was done twice counts once
            seen[rows] = True
            yield Filled(rows[new], computed[new], finite[new])

    def _results(self, tables: list[pa.Table], job: EncodingJob) -> Iterator[pa.Table]:
        """What workers make of blocks.

        Raises:
            BadInputError: See `fill`.
            RuntimeError: See there.
        """
        workers = self._workers(len(tables))
        for found in self.cluster.stream(tables, BlockEncoder, job, workers):
            if FAILURE in found.column_names:
                message, expected = (found.column(name)[0].as_py() for name in (FAILURE, EXPECTED))
                if expected:
                    raise BadInputError(message)
                raise RuntimeError(f"a worker: {message}")
            yield found

    def _tables(self, prompts: Prompts, keys: Sequence[bytes] | None) -> list[pa.Table]:
        rows = block_rows(prompts.ids.lengths, self._block_tokens)
        return [to_table(prompts, block, keys) for block in rows]

    def _are_many(self, lengths: NDArray[np.int64]) -> bool:
        return int(np.maximum(lengths, 1).sum()) > self._block_tokens

    @property
    def _block_tokens(self) -> int:
        return self.config.block_tokens or _BLOCK_TOKENS.get(self._kind, _BLOCK_TOKENS["cpu"])

    @cached_property
    def _kind(self) -> str:
        """The kind of device that workers have: `cuda`, `cpu`, `mps`."""
        if self.config.device != "auto":
            return self.config.device.partition(":")[0]
        if self.config.gpus_per_worker is not None:
            return "cuda" if self.config.gpus_per_worker else "cpu"
        if self.cluster.is_of_this_machine:
            return TransformersBackend(
                self._told("auto"), model=self._model, pooling=self._pooling
            ).device
        return "cuda" if self.cluster.gpus else "cpu"

    @cached_property
    def _here(self) -> TransformersBackend:
        """The backend of this process."""
        import torch

        device = self.config.device
        if device.startswith("cuda") and not torch.cuda.is_available():
            device = "auto"
        told = replace(self._told(device), dtype=self.dtype)
        return TransformersBackend(told, model=self._model, pooling=self._pooling)

    def _told(self, device: str) -> TransformersBackendConfig:
        """The settings of a backend of transformers."""
        plain = {name: getattr(self.config, name) for name in _PLAIN}
        return TransformersBackendConfig(device=device, dtype=self.config.dtype, **plain)

    def _job(
        self, include_instruction: bool, open_store: Callable[[], EmbeddingStore] | None
    ) -> EncodingJob:
        return EncodingJob(
            model=_anywhere(self._model.config),
            weights_hash=self._model.weights_hash,
            pooling=self._pooling.config,
            backend=replace(self._told(self._kind), dtype=self.dtype),
            include_instruction=include_instruction,
            open_store=open_store,
        )

    def _workers(self, blocks: int) -> Workers:
        """As many as are configured or fit, and no more than there are blocks."""
        config, machines = self.config, self.cluster.machine_cpus
        gpus = config.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if self._kind == "cuda" else 0.0
        cpus = config.cpus_per_worker
        if cpus is None:
            cpus = 1.0 if gpus else min(machines, default=1.0)
        count = config.workers
        if count is None:
            count = int(self.cluster.gpus / gpus) if gpus else len(machines)
        if gpus and gpus > self.cluster.gpus:
            raise BadInputError(
                f"backend.gpus_per_worker={gpus:g}: the Ray cluster has {self.cluster.gpus:g} "
                "GPUs; use backend.device=cpu"
            )
        if cpus > max(machines, default=0.0):
            raise BadInputError(
                f"backend.cpus_per_worker={cpus:g}: no machine of the Ray cluster has more than "
                f"{max(machines, default=0.0):g} CPUs; lower it"
            )
        self._sent = Workers(max(min(count, blocks), 1), cpus, gpus, config.retries)
        return self._sent


def _anywhere(config: ModelConfig) -> ModelConfig:
    """The model as processes with other working directories find it."""
    path = config.path and _absolute(config.path)
    return replace(config, path=path, adapters=[_absolute(each) for each in config.adapters])


def _absolute(reference: str) -> str:
    """A folder's whole path; what is no folder here, such as `hub://…`, as it is."""
    folder = Path(reference).expanduser()
    return str(folder.resolve()) if folder.is_dir() else reference
