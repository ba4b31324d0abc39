"""Energy of a phase, from the counters of CPU packages (RAPL) and of NVIDIA GPUs (NVML)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.cost.joules import EnergyCounter, EnergySource, PowerIntegral

_POWERCAP = Path("/sys/class/powercap")
# The zones of whole packages: intel-rapl:0:0 is a part of intel-rapl:0, and intel-rapl-mmio:0 the
# same package read in another way. AMD's zones are named so too.
_PACKAGE_ZONE = re.compile(r"intel-rapl:\d+")
_JOULES_PER_MICROJOULE = 1e-6
_JOULES_PER_MILLIJOULE = 1e-3
_WATTS_PER_MILLIWATT = 1e-3


class EnergyMeter:
    """A context manager that measures the energy of what runs within it.

    The sum over all CPU packages and GPUs that can be read, of everything that ran on them, idle
    power included: the machine's energy, not the process's. Memory beside the package, fans and
    power supplies are in no counter. A virtual machine and a container usually see no sensor, and
    RAPL is readable by root only: then `joules` is None, never 0. Counters move in steps, RAPL's
    about every millisecond, a GPU's some ten times a second: measure phases of seconds.

    A thread reads the sensors at intervals, so that no counter wraps around twice unseen. GPUs are
    read with ``pynvml`` (the package nvidia-ml-py) where it is installed, by their energy counter,
    which Volta and newer ones have, otherwise by samples of their power, which newer ones average
    over a second.

    Attributes:
        joules: Energy of the phase, None before its end and where nothing could be read.
        sources: What the sum is over, such as ``("rapl:package-0", "nvml:GPU-…")``; compare joules
            only between phases with the same sources.
    """

    def __init__(
        self,
        *,
        gpu_uuids: Sequence[str] | None = None,
        interval_seconds: float = 0.1,
        powercap: Path = _POWERCAP,
        nvml: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            gpu_uuids: NVML's UUIDs of the GPUs to measure; None for all of the machine, used by
                this process or not.
            interval_seconds: Between two readings of the sensors.
            powercap: The system's folder of RAPL zones.
            nvml: The module that speaks to NVML; None for ``pynvml`` where it is installed.
            clock: Returns seconds, monotonic.
        """
        self.joules: float | None = None
        self.sources: tuple[str, ...] = ()
        self._gpu_uuids = gpu_uuids
        self._interval = interval_seconds
        self._powercap = powercap
        self._nvml = nvml
        self._clock = clock

    def __enter__(self) -> EnergyMeter:
        """Find the sensors and read them."""
        self.joules, self.sources = None, ()
        self._library = _started_nvml(self._nvml)
        self._found: list[EnergySource] = [*_packages(self._powercap)]
        if self._library is not None:
            self._found += _gpus(self._library, self._gpu_uuids, self._clock)
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample_until_over, daemon=True)
        self._sample()
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Read the sensors a last time and add up."""
        self._over.set()
        self._sampler.join()
        self._sample()
        if self._library is not None:
            self._library.nvmlShutdown()
        measured = [source for source in self._found if source.joules is not None]
        self.joules = sum(source.joules or 0.0 for source in measured) if measured else None
        self.sources = tuple(source.name for source in measured)

    def _sample(self) -> None:
        for source in self._found:
            source.sample()

    def _sample_until_over(self) -> None:
        while not self._over.wait(self._interval):
            self._sample()


def _packages(powercap: Path) -> list[EnergyCounter]:
    """The counters of the CPU packages; not of the platform (psys), which has them within it."""
    counters = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        name = _text(zone / "name")
        if _PACKAGE_ZONE.fullmatch(zone.name) and name is not None and name.startswith("package"):
            counters.append(
                EnergyCounter(
                    f"rapl:{name}",
                    partial(_integer, zone / "energy_uj"),
                    joules_per_unit=_JOULES_PER_MICROJOULE,
                    wraps_after=_integer(zone / "max_energy_range_uj"),
                )
            )
    return counters


def _started_nvml(nvml: Any) -> Any:
    """The module, initialised; None where it is not installed or there is no driver."""
    if nvml is None:
        try:
            nvml = import_module("pynvml")
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml


def _gpus(nvml: Any, uuids: Sequence[str] | None, clock: Callable[[], float]) -> list[EnergySource]:
    """The GPUs, each by its counter or, without one, by its power; none if one is not there."""
    try:
        if uuids is None:
            handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        else:
            handles = [nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
        names = [f"nvml:{nvml.nvmlDeviceGetUUID(handle)}" for handle in handles]
    except nvml.NVMLError:
        return []

    def energy(handle: Any) -> int | None:
        try:
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except nvml.NVMLError:
            return None

    def power(handle: Any) -> float | None:
        try:
            return float(nvml.nvmlDeviceGetPowerUsage(handle)) * _WATTS_PER_MILLIWATT
        except nvml.NVMLError:
            return None

    return [
        PowerIntegral(name, partial(power, handle), clock=clock)
        if energy(handle) is None
        else EnergyCounter(name, partial(energy, handle), joules_per_unit=_JOULES_PER_MILLIJOULE)
        for name, handle in zip(names, handles, strict=True)
    ]


def _text(file: Path) -> str | None:
    """What a file says, None where it cannot be read."""
    try:
        return file.read_text().strip()
    except OSError:
        return None


def _integer(file: Path) -> int | None:
    """The number in a file, None where it cannot be read or is none."""
    text = _text(file)
    return int(text) if text is not None and text.isdecimal() else None
