"""Eviction of the CPU caches."""

import numpy as np
import pytest

from harness.cost.caches import CacheEviction, last_level_cache_bytes


def test_every_byte_is_written():
    evict = CacheEviction(10_007)
    assert evict.buffer.nbytes == 10_007
    for times in (1, 2):
        evict()
        assert np.all(evict.buffer == times)


def caches(folder, **levels):
    for number, (level, size) in enumerate(levels.values()):
        (folder / f"index{number}").mkdir()
        (folder / f"index{number}" / "level").write_text(f"{level}\n")
        (folder / f"index{number}" / "size").write_text(f"{size}\n")
    return folder


def test_the_last_level_is_read(tmp_path):
    folder = caches(
        tmp_path, data=(1, "48K"), code=(1, "32K"), shared=(3, "307200K"), core=(2, "2048K")
    )
    assert last_level_cache_bytes(folder) == 300 << 20


def test_a_size_in_mebibytes_is_read(tmp_path):
    assert last_level_cache_bytes(caches(tmp_path, only=(2, "4M"))) == 4 << 20


def test_an_unknown_size_is_none_and_no_size_is_refused(tmp_path):
    assert last_level_cache_bytes(tmp_path) is None
    assert last_level_cache_bytes(caches(tmp_path, odd=("?", "4M"))) is None
    with pytest.raises(ValueError, match="positive"):
        CacheEviction(0)


@pytest.mark.skipif(last_level_cache_bytes() is None, reason="this system does not say")
def test_twice_the_last_level_is_touched():
    assert CacheEviction().buffer.nbytes == 2 * last_level_cache_bytes()
