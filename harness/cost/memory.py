"""Memory of this process, on the host and on the device, in bytes."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal

_LINUX_STATUS = Path("/proc/self/status")
_LINUX_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # Linux, Documentation/filesystems/proc.rst


def current_host_bytes() -> int:
    """Return the resident set size of this process, now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_host_bytes() -> int:
    """Return the largest resident set size that this process has had since it started.

    On Linux this is ``VmHWM`` of ``/proc/self/status`` where it can be read: ``getrusage`` there
    also covers what ran in the process before ``exec``, so that a small program started by a large
    one reports the large one's peak. Elsewhere it is ``ru_maxrss`` of ``getrusage``, or the peak
    working set on Windows. Child processes are not included. A `PeakHostMemory` resets the system's
    figure; what it was before counts here all the same.
    """
    peak = _high_water_mark(_LINUX_STATUS)
    return max(_RESETS.largest, _getrusage_peak() if peak is None else peak)


def peak_device_bytes() -> int | None:
    """Return the most device memory that torch has held for tensors, on the fullest CUDA device.

    Counts since the start or since `reset_peak_device_bytes`.

    Returns:
        Bytes, or None (never 0) when there is nothing to report: torch was not imported, there is
        no CUDA device, or none was used.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    peaks = (torch.cuda.max_memory_allocated(n) for n in range(torch.cuda.device_count()))
    return max((int(peak) for peak in peaks), default=0) or None


def reset_peak_device_bytes() -> None:
    """Start the peak of device memory anew on every CUDA device; without one, do nothing."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)


class PeakHostMemory:
    """A context manager that gives the largest resident set size between its entry and its exit.

    Where the system allows it (Linux), the process's high-water mark is reset at entry and read at
    exit, which misses nothing. Elsewhere a thread reads the resident set size at intervals, which
    misses what is held for less than one, or while another thread keeps Python's global lock. They
    may be nested and may overlap. Child processes are not included.

    Attributes:
        start_bytes: Resident set size at entry, so that growth can be told from what was there.
        peak_bytes: The peak; None before the exit.
        seen_bytes: The largest that the phase knows of so far.
        method: How it was measured; None before the entry.
    """

    def __init__(
        self, *, interval_seconds: float = 0.005, clear_refs: Path = _LINUX_CLEAR_REFS
    ) -> None:
        """Prepare; nothing is measured yet.

        Args:
            interval_seconds: Between two samples, where samples are taken.
            clear_refs: The file that resets the high-water mark.
        """
        self.start_bytes: int | None = None
        self.peak_bytes: int | None = None
        self.method: Literal["high_water_mark", "samples"] | None = None
        self.seen_bytes = 0
        self._interval = interval_seconds
        self._clear_refs = clear_refs

    def __enter__(self) -> PeakHostMemory:
        """Reset the high-water mark, or begin to take samples."""
        self.peak_bytes = None
        self.start_bytes = self.seen_bytes = current_host_bytes()
        if _RESETS.begin(self, self._clear_refs):
            self.method = "high_water_mark"
        else:
            self.method = "samples"
            self._over = threading.Event()
            self._sampler = threading.Thread(target=self._sample_until_over, daemon=True)
            self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Read the peak."""
        if self.method == "high_water_mark":
            _RESETS.end(self)
        else:
            self._over.set()
            self._sampler.join()
            self.see(current_host_bytes())
        self.peak_bytes = self.seen_bytes

    def see(self, resident_bytes: int) -> None:
        """Take note of a resident set size that there was in the phase."""
        self.seen_bytes = max(self.seen_bytes, resident_bytes)

    def _sample_until_over(self) -> None:
        while not self._over.wait(self._interval):
            self.see(current_host_bytes())


class _Resets:
    """The process's one high-water mark, shared by the phases that reset it.

    Attributes:
        largest: The largest mark that a reset wiped out.
    """

    def __init__(self) -> None:
        self.largest = 0
        self._open: list[PeakHostMemory] = []
        self._lock = threading.Lock()

    def begin(self, phase: PeakHostMemory, clear_refs: Path) -> bool:
        """Reset the mark for a phase, after telling it to those under way; return if it worked."""
        with self._lock:
            mark = _high_water_mark(_LINUX_STATUS)
            if mark is None:
                return False
            self.largest = max(self.largest, mark)
            for other in self._open:
                other.see(mark)
            try:
                clear_refs.write_text(_RESET_PEAK)
            except OSError:
                return False
            self._open.append(phase)
            return True

    def end(self, phase: PeakHostMemory) -> None:
        """Tell the mark to a phase that ends; the others still have it before them."""
        with self._lock:
            phase.see(_high_water_mark(_LINUX_STATUS) or 0)
            self._open.remove(phase)


_RESETS = _Resets()


def _high_water_mark(status: Path) -> int | None:
    """Return ``VmHWM`` in bytes from a Linux ``status`` file, None where there is none."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _getrusage_peak() -> int:
    """Return ``ru_maxrss`` in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)

    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, every other system kibibytes.
    return peak if sys.platform == "darwin" else peak * 1024
