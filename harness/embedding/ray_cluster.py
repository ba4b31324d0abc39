"""The shell around Ray: a cluster that is found or started, streams through workers, tasks."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import BadInputError, brief

if TYPE_CHECKING:
    import pyarrow as pa

# Read when Ray is imported or started: nothing is sent to anyone, and its C++ logs, of which a
# driver's go to standard error, say no more than what ends it.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
_SECONDS_TO_ANSWER = 10.0
_IN_FLIGHT = 2  # blocks of a worker: one under way, one fetched meanwhile


def check_installed() -> None:
    """Refuse to go on without Ray.

    Raises:
        BadInputError: How it is installed.
    """
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("ray.data") is None:
        raise BadInputError(
            "backend=ray needs Ray: pip install 'harness[ray]', or use backend=transformers"
        )


@dataclass(frozen=True)
class Workers:
    """Workers of one kind.

    Attributes:
        count: How many.
        cpus: Cores of each.
        gpus: GPUs of each, or a share of one.
        retries: Times that one, and what it was at, is begun anew after it died.
    """

    count: int
    cpus: float
    gpus: float
    retries: int


class Cluster:
    """A Ray cluster, joined or started when it is first asked for anything."""

    def __init__(self, address: str | None) -> None:
        """Say which.

        Args:
            address: `auto`, `HOST:PORT`; None for that of RAY_ADDRESS, without it one of this
                machine that ends with the process.
        """
        named = os.environ.get("RAY_ADDRESS") or None
        self.address = named if address in (None, "auto") and named else address

    @property
    def is_of_this_machine(self) -> bool:
        """Whether it is one that this process starts."""
        return self.address is None

    @property
    def gpus(self) -> float:
        """GPUs of the whole cluster."""
        return float(self._ray.cluster_resources().get("GPU", 0))

    @property
    def machine_cpus(self) -> list[float]:
        """Cores of each machine that has any and is alive."""
        alive = [node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]]
        return [float(cpus) for cpus in alive if cpus]

    @property
    def _ray(self) -> Any:
        """Ray, connected.

        Raises:
            BadInputError: If no cluster answers.
        """
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import ray

        if ray.is_initialized():
            return ray
        _keep_off_standard_output()
        try:
            _check_reachable(self.address)
            ray.init(
                address=self.address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if self.address is None else None,
            )
        except Exception as error:  # it fails in as many ways as networks do
            where = f"at {self.address}" if self.address else "on this machine"
            raise BadInputError(
                f"no Ray cluster {where} ({brief(error)}); check backend.address and RAY_ADDRESS, "
                "or use backend=transformers"
            ) from error
        return ray

    def stream(
        self, tables: Sequence[pa.Table], worker: type, job: Any, workers: Workers
    ) -> Iterator[pa.Table]:
        """Send tables through an actor pool of Ray Data.

        A worker is given a table when it has room for it. What a dead worker was at goes to the
        one that is started in its place, or to others.

        Args:
            tables: One is given to a worker at a time.
            worker: A class whose instances make a table of a table.
            job: What it is constructed with.
            workers: How many, and what each of them has.

        Yields:
            What is made of each, as it is done.

        Raises:
            BadInputError: If workers die again and again, or the cluster itself does.
        """
        ray = self._ray
        import ray.data as ray_data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray_data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        pool = ray_data.ActorPoolStrategy(
            size=workers.count, max_tasks_in_flight_per_actor=_IN_FLIGHT
        )
        given = ray_data.from_arrow(list(tables))
        with warnings.catch_warnings(action="ignore"):  # Ray 2.60 has no other place for retries
            made = given.map_batches(
                worker,
                fn_constructor_args=(job,),
                batch_size=None,
                batch_format="pyarrow",
                compute=pool,
                num_cpus=workers.cpus,
                num_gpus=workers.gpus,
                max_restarts=workers.retries,
                max_task_retries=workers.retries,
            )
        try:
            yield from made.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            )
        except ray.exceptions.RayError as error:
            raise BadInputError(_gave_up(error)) from error

    def put(self, value: Any) -> Any:
        """Keep a value in the cluster, for `spread`."""
        return self._ray.put(value)

    def spread(
        self, function: Callable[..., Any], calls: Sequence[Sequence[Any]], *, retries: int
    ) -> list[Any]:
        """Call a function on all machines: what it gives, in the order of the calls.

        Args:
            function: A function of a module.
            calls: Arguments of each call; those that `put` gave are fetched where they are needed.
            retries: Times that a call is made anew after its machine died.

        Raises:
            BadInputError: What the function says that the user can mend; if machines die again and
                again.
        """
        ray = self._ray
        remote = ray.remote(function).options(
            num_cpus=1, scheduling_strategy="SPREAD", max_retries=retries
        )
        try:
            return list(ray.get([remote.remote(*call) for call in calls]))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, BadInputError):
                raise BadInputError(str(error.cause)) from error
            raise
        except ray.exceptions.RayError as error:
            raise BadInputError(_gave_up(error)) from error


def _check_reachable(address: str | None) -> None:
    """Knock at a cluster's port, for which Ray itself would wait ten minutes.

    Args:
        address: `HOST:PORT`, maybe after `ray://`; nothing is done for any other.

    Raises:
        OSError: If nobody answers.
    """
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER).close()


def _gave_up(error: Exception) -> str:
    return (
        f"the Ray cluster gave up ({brief(error)}); what is encoded is kept: give workers more "
        "memory, or raise backend.retries, and run the same command again"
    )


def _keep_off_standard_output() -> None:
    """Have what a cluster reports of its machines go to standard error, not among the results."""
    with suppress(ImportError, AttributeError):
        from ray._private import worker

        write = worker.print_to_stdstream
        if not isinstance(write, partial):
            worker.print_to_stdstream = partial(_on_standard_error, write)


def _on_standard_error(
    write: Callable[..., None], batch: dict[str, Any], *args: Any, **named: Any
) -> None:
    if not sys.stderr.closed:
        write({**batch, "is_err": True}, *args, **named)
