"""Cold CPU caches between two measurements, as far as an ordinary program can have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_LINUX_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# Replacement is not strictly by age, and a last level that holds only what the level above it threw
# out must be filled through that one: a pass over just its size would leave some of it.
_SIZES_TO_TOUCH = 2


class CacheEviction:
    """A callable that replaces what the CPU's caches hold by a buffer of no use.

    It writes to every cache line of a buffer larger than the last level, on the calling thread.
    That evicts the shared last level and this core's own levels, and with them the translations of
    addresses. Not evicted: the private levels of other cores (where a pool of threads searches),
    branch predictors, and the operating system's file cache. A virtual machine may report another
    size than it gets. Neighbours use the same last level, so that on a busy machine a pause cools
    it as well: a warm latency is that of queries back to back.

    Attributes:
        buffer: What is touched, uint8.
    """

    def __init__(self, size: int | None = None) -> None:
        """Allocate the buffer.

        Args:
            size: Bytes to touch; None for twice the last level.

        Raises:
            ValueError: `size` is not positive, or None where the last level's size is unknown.
        """
        if size is None:
            known = last_level_cache_bytes()
            if known is None:
                raise ValueError("the size of the last-level cache is unknown here: give the bytes")
            size = _SIZES_TO_TOUCH * known
        if size <= 0:
            raise ValueError(f"the bytes to touch must be positive, not {size}")
        self.buffer = np.zeros(size, dtype=np.uint8)

    def __call__(self) -> None:
        """Touch the whole buffer."""
        # Writing brings a line in as one's own, where reading could share one page of zeros.
        np.add(self.buffer, 1, out=self.buffer)


def last_level_cache_bytes(caches: Path = _LINUX_CACHES) -> int | None:
    """Return the size of the first core's last-level cache, None where the system does not say.

    Args:
        caches: Linux's folder of that core's caches.
    """
    sizes: dict[int, int] = {}
    for folder in caches.glob("index*"):
        try:
            level = int((folder / "level").read_text())
            size = (folder / "size").read_text().strip()
            sizes[level] = int(size.rstrip("KMG")) * _SUFFIXES.get(size[-1:], 1)
        except (OSError, ValueError):
            continue
    return sizes[max(sizes)] if sizes else None
