"""Memory of this process, on the host and on the device, in bytes."""

from __future__ import annotations

import sys
from pathlib import Path

_LINUX_STATUS = Path("/proc/self/status")


def current_host_bytes() -> int:
    """Return the resident set size of this process, now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_host_bytes() -> int:
    """Return the largest resident set size that this process has had since it started.

    On Linux this is ``VmHWM`` of ``/proc/self/status`` where it can be read: ``getrusage`` there
    also covers what ran in the process before ``exec``, so that a small program started by a large
    one reports the large one's peak. Elsewhere it is ``ru_maxrss`` of ``getrusage``, or the peak
    working set on Windows. Child processes are not included.
    """
    peak = _high_water_mark(_LINUX_STATUS)
    return _getrusage_peak() if peak is None else peak


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
