"""Text to embedding on a Ray cluster: its workers, and how much each has at a time."""

from __future__ import annotations

from dataclasses import dataclass

from harness.components import at_least, component, require, unscored
from harness.config.embedding import TransformersBackendConfig


@component("backend", "ray", "harness.embedding.ray_backend:RayBackend")
@dataclass(kw_only=True)
class RayBackendConfig(TransformersBackendConfig):
    """Inference with transformers by the workers of a Ray cluster, whose settings are these too.

    Nothing here changes a score, and a result does not know that Ray was there.

    Attributes:
        address: `auto` or `HOST:PORT` of a cluster that runs; when absent, that of RAY_ADDRESS, or
            without it one that is started on this machine and ends with the command.
        workers: Copies of the model. One for each GPU when absent, or for each machine where the
            cluster has none.
        cpus_per_worker: Cores of each. When absent 1 with GPUs, else all of the smallest machine's.
        gpus_per_worker: GPUs of each, or a share of one. When absent 1 where there are GPUs.
        block_tokens: Tokens that a worker encodes and writes into the store at a time: as much is
            lost when it dies. When absent 131,072 on CPUs, 262,144 on GPUs.
        retries: Times that a worker, and the block it was at, are begun anew after it died.
        shard_documents: Documents of a shard; larger corpora are searched shard by shard on the
            cluster. Rounded up to a multiple of 16,384.
    """

    kind: str = "ray"
    address: str | None = unscored(None)
    workers: int | None = unscored(None)
    cpus_per_worker: float | None = unscored(None)
    gpus_per_worker: float | None = unscored(None)
    block_tokens: int | None = unscored(None)
    retries: int = unscored(10)
    shard_documents: int = unscored(1 << 20)

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        require(
            self.devices is None,
            f"devices={self.devices} is of backend=transformers; here workers=... says how many "
            "copies of the model there are",
        )
        require(
            self.address is None or bool(self.address.strip()),
            "address is empty; give auto or HOST:PORT, or null for a cluster of this machine",
        )
        at_least("workers", self.workers, 1)
        at_least("cpus_per_worker", self.cpus_per_worker, 0)
        at_least("gpus_per_worker", self.gpus_per_worker, 0)
        at_least("block_tokens", self.block_tokens, 1)
        at_least("retries", self.retries, 0)
        at_least("shard_documents", self.shard_documents, 1)
