"""Peak memory of the process and of the device."""

import subprocess
import sys
import time

import pytest
import torch

from harness.cost import memory
from harness.cost.memory import PeakHostMemory

MEBIBYTE = 1 << 20
SLACK = 16 * MEBIBYTE  # of what the interpreter takes and gives back meanwhile


def hold(mebibytes, seconds=0.0):
    """Take memory, touch every page, and give it back."""
    block = bytearray(mebibytes * MEBIBYTE)
    block[:: 1 << 12] = b"1" * len(block[:: 1 << 12])
    time.sleep(seconds)


def test_peak_covers_what_was_allocated_and_freed():
    block = bytearray(64 << 20)
    block[:: 1 << 12] = b"1" * len(block[:: 1 << 12])
    held = memory.current_host_bytes()
    del block
    # The kernel counts resident pages in batches per thread, hence the megabyte.
    assert memory.peak_host_bytes() >= held - (1 << 20)
    assert held > 64 << 20


def test_high_water_mark_is_read_in_bytes(tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t   9000 kB\nVmHWM:\t   2144 kB\n")
    assert memory._high_water_mark(status) == 2144 * 1024
    status.write_text("Name:\tpython\n")
    assert memory._high_water_mark(status) is None
    assert memory._high_water_mark(tmp_path / "absent") is None


def test_without_status_file_getrusage_answers(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_LINUX_STATUS", tmp_path / "absent")
    # A phase that another test measured has reset what both read.
    assert memory.peak_host_bytes() == max(memory._RESETS.largest, memory._getrusage_peak())
    # A Python process with torch takes between 50 MB and 100 GB: the unit is right.
    assert 50e6 < memory._getrusage_peak() < 100e9


def test_getrusage_counts_bytes_on_macos(monkeypatch):
    kibibytes = memory._getrusage_peak() // 1024
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._getrusage_peak() == pytest.approx(kibibytes, rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="the parent's peak leaks on Linux only")
def test_a_small_child_does_not_report_its_parents_peak():
    block = bytearray(256 << 20)
    block[:: 1 << 12] = b"1" * len(block[:: 1 << 12])
    code = "from harness.cost.memory import peak_host_bytes; print(peak_host_bytes())"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(child.stdout) < len(block)


def test_absent_device_is_none_not_zero(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert memory.peak_device_bytes() is None
    memory.reset_peak_device_bytes()
    monkeypatch.delitem(sys.modules, "torch")
    assert memory.peak_device_bytes() is None
    memory.reset_peak_device_bytes()


@pytest.mark.parametrize(("peaks", "expected"), [([5, 9], 9), ([0, 0], None)])
def test_fullest_device_is_reported(monkeypatch, peaks, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(peaks))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks[device])
    assert memory.peak_device_bytes() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_device_peak_and_its_reset():
    block = torch.ones(1 << 24, device="cuda")
    assert (memory.peak_device_bytes() or 0) >= block.nbytes
    del block
    memory.reset_peak_device_bytes()
    assert (memory.peak_device_bytes() or 0) < 4 << 24


def phase(tmp_path, method):
    if method == "high_water_mark":
        if sys.platform != "linux":
            pytest.skip("only Linux resets the high-water mark")
        return PeakHostMemory()
    return PeakHostMemory(interval_seconds=0.001, clear_refs=tmp_path / "no folder" / "clear_refs")


@pytest.mark.parametrize("method", ["high_water_mark", "samples"])
def test_the_peak_of_a_phase_is_its_own(tmp_path, method):
    hold(256)
    with phase(tmp_path, method) as peak:
        hold(64, seconds=0.2)
        assert peak.peak_bytes is None
    hold(128)
    assert peak.method == method
    assert 64 * MEBIBYTE <= peak.peak_bytes - peak.start_bytes + SLACK <= 64 * MEBIBYTE + 2 * SLACK


@pytest.mark.parametrize("method", ["high_water_mark", "samples"])
def test_a_phase_that_fails_is_measured_and_the_error_passes(tmp_path, method):
    peak = phase(tmp_path, method)
    with pytest.raises(RuntimeError, match="failed"), peak:
        raise RuntimeError("failed")
    assert peak.peak_bytes >= peak.start_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the high-water mark")
def test_a_phase_within_another_does_not_hide_its_peak():
    with PeakHostMemory() as outer:
        hold(128)
        with PeakHostMemory() as inner:
            hold(32)
    assert outer.peak_bytes - outer.start_bytes > 128 * MEBIBYTE - SLACK
    assert inner.peak_bytes - inner.start_bytes < 32 * MEBIBYTE + SLACK
    with PeakHostMemory() as outer, PeakHostMemory():
        hold(64)
    assert outer.peak_bytes - outer.start_bytes > 64 * MEBIBYTE - SLACK


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the high-water mark")
def test_the_peak_of_the_process_survives_a_phase():
    hold(192)
    before = memory.peak_host_bytes()
    with PeakHostMemory() as peak:
        assert memory.peak_host_bytes() == before
    assert memory.peak_host_bytes() == before
    assert peak.peak_bytes < before - 192 * MEBIBYTE + SLACK
