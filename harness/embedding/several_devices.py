"""transformers on several devices: one worker each, fed from one queue of batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.embedding.crew import DEATHS, Crew, Died
from harness.embedding.device_worker import Batch, Done, Recipe, Refused, Task
from harness.embedding.devices import check_device
from harness.embedding.fleet import Fleet
from harness.embedding.transformers_backend import TransformersBackend
from harness.errors import BadInputError

if TYPE_CHECKING:
    from harness.config import TransformersBackendConfig
    from harness.embedding.model import EmbeddingModel
    from harness.embedding.pooling import Pooling
    from harness.embedding.prompts import Prompts

_FEW = 1  # prompts: a live query, which would only wait for the way to a worker and back
_AHEAD = 3  # batches of a worker: two started, and one at hand
_WHOLE = 1 << 40  # tokens: a worker makes one batch of what it is sent, if memory allows


def transformers_backend(
    config: TransformersBackendConfig,
    *,
    model: EmbeddingModel,
    pooling: Pooling,
    memory: Path | None = None,
) -> TransformersBackend | SeveralDevices:
    """The backend of a configuration, on one device or several; see `TransformersBackend`."""
    kind = TransformersBackend if config.devices is None else SeveralDevices
    return kind(config, model=model, pooling=pooling, memory=memory)


class SeveralDevices:
    """Workers on several devices, for all passes of more than one prompt.

    Batches are the same as on one device with the same token budget, and so is what they give. A
    single prompt is a query whose latency counts: it is embedded in this process, on `device`,
    which then holds the model too.
    """

    merges_adapters = TransformersBackend.merges_adapters

    def __init__(
        self,
        config: TransformersBackendConfig,
        *,
        model: EmbeddingModel,
        pooling: Pooling,
        memory: Path | None = None,
    ) -> None:
        """Prepare; see `TransformersBackend`. No token budget is tried, one that was found is used.

        Args:
            config: Its `devices` are named, or `all`.
            model: The model.
            pooling: Reduces token states to embeddings.
            memory: Where token budgets are remembered; nowhere when None.
        """
        self.config = config
        self._model = model
        self._pooling = pooling
        self._memory = memory

    @cached_property
    def devices(self) -> list[str]:
        """The devices of the workers.

        Raises:
            BadInputError: If one of them is not there.
        """
        named = self.config.devices
        if named != "all":
            for device in named:
                check_device(device, setting="backend.devices")
            return list(named)
        import torch

        count = torch.cuda.device_count()
        if not count:
            raise BadInputError(
                "backend.devices=all: this torch sees no GPU; use backend.devices=null"
            )
        return [f"cuda:{number}" for number in range(count)]

    @property
    def device_count(self) -> int:
        """Devices that compute at once; several workers may share one."""
        return len(set(self.devices))

    @property
    def device(self) -> str:
        """Where single prompts are embedded, and heads work."""
        return self._here.device

    @property
    def dtype(self) -> str:
        """See `TransformersBackend`; the same on all devices."""
        return self._here.dtype

    @property
    def space(self) -> dict[str, Any]:
        """See `Backend`: nothing."""
        return self._here.space

    def load(self) -> None:
        """Load the model on all devices, so that the first batch is not timed with it."""
        if self._is_alone:
            self._here.load()
        else:
            self._crew.load()

    def synchronise(self) -> None:
        """See `TransformersBackend`; what workers embed is handed over when it is done."""
        self._here.synchronise()

    def embed(self, prompts: Prompts, *, include_instruction: bool) -> Iterator[Batch]:
        """Encode prompts, longest first; one pass at a time.

        A batch whose worker dies is done by another. Batches come as they are done.

        Args:
            prompts: n tokenised prompts.
            include_instruction: Whether template tokens are pooled.

        Yields:
            See `TransformersBackend.embed`.

        Raises:
            BadInputError: If a text does not fit into a device's memory, a worker cannot load the
                model, or workers die again and again.
        """
        if self._is_alone or len(prompts.ids) <= _FEW:
            yield from self._here.embed(prompts, include_instruction=include_instruction)
            return
        lengths = prompts.ids.lengths
        budget = self._here.budgets.of_pass(int(lengths.sum())).chosen
        fleet = Fleet(lengths, token_budget=budget, packed=self._here.packed, ahead=_AHEAD)
        self._crew.load()
        while not fleet.is_done:
            for worker, job in fleet.assign(self._crew.loaded):
                part = prompts.select(job.rows)
                self._crew.send(worker, Task(job.number, part, include_instruction))
            for worker, event in self._crew.wait():
                yield from self._taken(fleet, worker, event)

    def _taken(self, fleet: Fleet, worker: int, event: Done | Refused | Died) -> Iterator[Batch]:
        """What has become of a worker, noted in the fleet; batches that are done."""
        match event:
            case Died():
                job = fleet.lost(worker)
                if job is not None and job.deaths == DEATHS:
                    raise self._crew.give_up(
                        f"the worker of a batch of {len(job.rows)} texts", worker
                    )
            case Refused(number, message):
                if number is not None and fleet.done(worker, number) is not None:
                    raise BadInputError(message)
            case Done(number, parts):
                job = fleet.done(worker, number)
                if job is None:
                    return  # of a pass that was given up
                if len(parts) > 1:
                    fleet.lower(max(computed for _, _, computed in parts))
                for rows, vectors, computed in parts:
                    yield job.rows[rows], vectors, computed

    @property
    def _is_alone(self) -> bool:
        """Whether the only device is the one of this process."""
        return self.devices == [self.device]

    @cached_property
    def _here(self) -> TransformersBackend:
        """The backend of this process."""
        device = self.devices[0] if self.config.device == "auto" else self.config.device
        config = replace(self.config, device=device, devices=None)
        return TransformersBackend(
            config, model=self._model, pooling=self._pooling, memory=self._memory
        )

    @cached_property
    def _crew(self) -> Crew:
        import torch

        shared = self._here.config
        on_cpu = max(self.devices.count("cpu"), 1)
        places = {name: getattr(self._model, name) for name in ("root", "folder", "adapters")}
        recipes = [
            Recipe(
                model=self._model.config,
                places=places,
                pooling=self._pooling.config,
                backend=replace(shared, device=device, dtype=self.dtype, token_budget=_WHOLE),
                threads=max(torch.get_num_threads() // on_cpu, 1),
            )
            for device in self.devices
        ]
        return Crew(recipes)
