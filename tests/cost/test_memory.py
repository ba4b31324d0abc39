"""Peak memory of the process and of the device."""

import subprocess
import sys

import pytest
import torch

from harness.cost import memory


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
    assert memory.peak_host_bytes() == memory._getrusage_peak()
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
