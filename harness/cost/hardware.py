"""On which hardware, with which software and at which commit a measurement was made."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# The instruction sets that decide how fast a matrix product is: x86 first, then Arm.
_FLAGS = (
    *("avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
_GIT_TIMEOUT_S = 10.0
_PEAK_SMALLEST, _PEAK_LARGEST = 512, 8192
_PEAK_LEAST_REPEATS = 3


@dataclass(frozen=True)
class GitCommit:
    """The state of a checkout.

    Attributes:
        commit: The full hash of the checked-out commit.
        dirty: Whether a tracked file differs from that commit; files that git does not track do
            not count, as in ``git describe --dirty``.
    """

    commit: str
    dirty: bool


def hardware_record() -> dict[str, Any]:
    """Describe this machine in JSON's types.

    Returns:
        ``cpu`` (model name), ``cores`` (that this process may use), ``threads`` (that torch uses,
        None when torch was not imported), ``cpu_flags`` (instruction sets that matter for matrix
        products, empty where they cannot be read), ``memory_bytes``, ``gpus`` (names; empty when
        torch was not imported or sees none), ``os`` and ``python``.
    """
    import psutil

    torch = sys.modules.get("torch")
    gpus = []
    if torch is not None and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    cpu = _cpu_fields(Path("/proc/cpuinfo"))
    present = set(cpu.get("flags", cpu.get("Features", "")).split())
    return {
        "cpu": _cpu_name(cpu),
        "cores": _usable_cores(),
        "threads": None if torch is None else torch.get_num_threads(),
        "cpu_flags": [flag for flag in _FLAGS if flag in present],
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpus": gpus,
        "os": platform.platform(),
        "python": platform.python_version(),
    }


def device_name(device: str) -> str:
    """What a device calls itself: a GPU's name, else the processor's and its cores.

    Args:
        device: torch's name of it, such as ``cpu`` or ``cuda:1``.
    """
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return f"{_cpu_name(_cpu_fields(Path('/proc/cpuinfo')))}, {_usable_cores()} cores"


def software_record(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the installed version of each package, None where it is not installed.

    Args:
        packages: Distribution names, as the package registry spells them.
    """
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def git_commit(folder: Path) -> GitCommit | None:
    """Return the commit of the checkout that holds the code in ``folder``.

    Args:
        folder: A folder of tracked files.

    Returns:
        The commit, or None when git is absent, fails or takes too long, or when ``folder`` is no
        part of a checkout, such as a package installed in a virtual environment that lies within
        some project's checkout.
    """
    tracked = _git(folder, "ls-files", "--", ".")
    commit = _git(folder, "rev-parse", "HEAD") if tracked else None
    if not commit:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if changes is None else GitCommit(commit=commit, dirty=bool(changes))


def synchroniser(device: torch.device | str) -> Callable[[], None] | None:
    """Return what waits until ``device`` is idle, None for the CPU, which never runs ahead."""
    import torch

    device = torch.device(device)
    if device.type == "cpu":
        return None
    return lambda: torch.accelerator.synchronize(device)


def matmul_peak(device: torch.device | str, dtype: torch.dtype, *, seconds: float = 0.3) -> float:
    """Measure the FLOP/s that a large square matrix product reaches on a device.

    The denominator of MFU: a rate that this machine reaches today, not the vendor's. Matrices are
    random, because products of zeros draw less power and run faster than real ones. Their side
    doubles from 512 up to 8192 as long as one product stays below a small part of ``seconds``. The
    settings in force (threads, TF32) apply. Call it before memory peaks are reset: on a fast
    device it takes 3·8192² elements.

    Args:
        device: Where to multiply.
        dtype: A floating-point type that ``torch.matmul`` takes there.
        seconds: About how long the measurement may take; slow machines take longer, since at least
            three products are timed.

    Returns:
        FLOP/s, by the median time of the repeated products, each synchronised.

    Raises:
        ValueError: ``dtype`` is not a floating-point type, or ``seconds`` is not positive.
    """
    import torch

    if not dtype.is_floating_point:
        raise ValueError(f"the peak is measured in a floating-point type, not {dtype}")
    if seconds <= 0:
        raise ValueError(f"seconds must be positive, not {seconds}")
    wait = synchroniser(device)

    def product_seconds(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> float:
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        if wait is not None:
            wait()
        return time.perf_counter() - start

    side = _PEAK_SMALLEST
    with torch.inference_mode():
        while True:
            left, right, out = (
                torch.randn((side, side), device=device, dtype=dtype) for _ in range(3)
            )
            if wait is not None:
                wait()
            # The first product of a shape also loads or compiles its kernel.
            product_seconds(left, right, out)
            once = product_seconds(left, right, out)
            # Twice the side takes eight times as long.
            if side == _PEAK_LARGEST or 8 * once > seconds / _PEAK_LEAST_REPEATS:
                break
            side *= 2
        times: list[float] = []
        while len(times) < _PEAK_LEAST_REPEATS or sum(times) < seconds:
            times.append(product_seconds(left, right, out))
    return 2.0 * side**3 / statistics.median(times)


def _usable_cores() -> int:
    """Return how many cores this process may run on."""
    # macOS and Windows cannot tie a process to cores.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name(fields: dict[str, str]) -> str:
    """Return the processor's name."""
    return fields.get("model name") or platform.processor() or platform.machine()


def _cpu_fields(cpuinfo: Path) -> dict[str, str]:
    """Return the fields of the first processor in Linux's ``cpuinfo``; empty elsewhere."""
    try:
        first = cpuinfo.read_text().split("\n\n", maxsplit=1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints, None when it fails."""
    # Within a git hook these variables would point every command at the hook's repository. Taking
    # no optional locks keeps a status from disturbing a commit that runs at the same time.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
