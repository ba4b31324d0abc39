"""The energy meter, on a folder of files as RAPL's and on a stand-in for NVML.

No test here reads a real sensor: machines that run tests rarely show one, to root only. The
stand-in has the functions of nvidia-ml-py that are used, with their names and units.
"""

import os
import subprocess
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path

import pytest

from harness.cost.energy import EnergyMeter

NEVER = 3600.0  # seconds between samples, so that only those at the ends are taken
RANGE = 262_143_328_850  # microjoules


class Nvml:
    """GPUs by UUID; each a dict of the millijoules or milliwatts that it tells."""

    class NVMLError(Exception):
        pass

    def __init__(self, gpus=None, driver=True):
        self.gpus = gpus or {}
        self.driver = driver
        self.open = 0

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError("NVML Shared Library Not Found")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return list(self.gpus)[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):
        if uuid not in self.gpus:
            raise self.NVMLError("Not Found")
        return uuid

    def nvmlDeviceGetUUID(self, handle):
        return handle

    def _tell(self, handle, figure):
        if figure not in self.gpus[handle]:
            raise self.NVMLError("Not Supported")
        return self.gpus[handle][figure]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._tell(handle, "millijoules")

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._tell(handle, "milliwatts")


class Watched(dict):
    """A GPU that says when its power was asked for a number of times."""

    def __init__(self, times, **figures):
        super().__init__(figures)
        self.times = times
        self.reached = threading.Event()

    def __getitem__(self, figure):
        self.times -= 1
        if self.times == 0:
            self.reached.set()
        return super().__getitem__(figure)


def zone(root, folder, name, microjoules):
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path / "energy_uj"


def meter(powercap, nvml=None, **settings):
    settings = {"interval_seconds": NEVER, **settings}
    return EnergyMeter(powercap=powercap, nvml=nvml or Nvml(), **settings)


def test_one_package(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    with meter(tmp_path) as measured:
        energy.write_text("12500000\n")
        assert measured.joules is None
    assert measured.joules == pytest.approx(7.5)
    assert measured.sources == ("rapl:package-0",)


def test_two_packages_add_up_without_their_parts_and_without_the_platform(tmp_path):
    counters = [
        zone(tmp_path, "intel-rapl:0", "package-0", 0),
        zone(tmp_path, "intel-rapl:1", "package-1", 0),
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:0:1", "package-like", 0),
        zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    with meter(tmp_path) as measured:
        for power, counter in enumerate(counters):
            counter.write_text(str(10**power * 1_000_000))
    assert measured.joules == pytest.approx(1 + 10)
    assert measured.sources == ("rapl:package-0", "rapl:package-1")


def test_a_counter_that_wraps_around(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 1_000_000)
    with meter(tmp_path) as measured:
        energy.write_text("500000")
    assert measured.joules == pytest.approx(1.5)


def test_no_sensor_is_none_and_not_zero(tmp_path):
    with meter(tmp_path / "absent") as measured:
        pass
    assert (measured.joules, measured.sources) == (None, ())


def test_a_counter_that_does_not_move_is_none_and_not_zero(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    with meter(tmp_path, Nvml({"GPU-a": {"millijoules": 7}})) as measured:
        pass
    assert (measured.joules, measured.sources) == (None, ())


@pytest.fixture
def powercap_of_root():
    """RAPL's folder as it is by default: what was counted, only root may read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        zone(folder, "intel-rapl:0", "package-0", 5).chmod(0o400 if os.geteuid() == 0 else 0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_permission_denied_is_none_and_not_an_error(powercap_of_root):
    with pytest.raises(PermissionError):
        (powercap_of_root / "intel-rapl:0" / "energy_uj").read_text()
    with meter(powercap_of_root) as measured:
        pass
    assert (measured.joules, measured.sources) == (None, ())


def test_a_package_that_cannot_be_read_any_more_is_left_out(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    other = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    with meter(tmp_path) as measured:
        energy.unlink()
        other.write_text("3000000")
    assert (measured.joules, measured.sources) == (pytest.approx(3), ("rapl:package-1",))


def test_what_is_no_number_is_none(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    with meter(tmp_path) as measured:
        energy.write_text("n/a")
    assert measured.joules is None


def test_gpus_by_their_counter_and_packages_add_up(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    nvml = Nvml({"GPU-a": {"millijoules": 1000}, "GPU-b": {"millijoules": 0, "milliwatts": 9}})
    with meter(tmp_path, nvml) as measured:
        assert nvml.open == 1
        energy.write_text("250000")
        nvml.gpus["GPU-a"]["millijoules"] = 1500
        nvml.gpus["GPU-b"]["millijoules"] = 4000
    assert measured.joules == pytest.approx(0.25 + 0.5 + 4)
    assert measured.sources == ("rapl:package-0", "nvml:GPU-a", "nvml:GPU-b")
    assert nvml.open == 0


def test_only_the_gpus_that_were_named_count(tmp_path):
    nvml = Nvml({"GPU-a": {"millijoules": 0}, "GPU-b": {"millijoules": 0}})
    with meter(tmp_path, nvml, gpu_uuids=["GPU-b"]) as measured:
        nvml.gpus["GPU-a"]["millijoules"] = 1000
        nvml.gpus["GPU-b"]["millijoules"] = 2000
    assert (measured.joules, measured.sources) == (pytest.approx(2), ("nvml:GPU-b",))
    with meter(tmp_path, nvml, gpu_uuids=["GPU-b", "GPU-c"]) as measured:
        nvml.gpus["GPU-b"]["millijoules"] = 3000
    assert (measured.joules, measured.sources) == (None, ())


def test_without_a_counter_the_thread_integrates_power(tmp_path):
    gpu = Watched(times=5, milliwatts=20_000)
    seconds = count()
    nvml = Nvml({"GPU-old": gpu})
    measured = meter(tmp_path, nvml, interval_seconds=0.001, clock=lambda: float(next(seconds)))
    with measured:
        assert gpu.reached.wait(60)
    samples = next(seconds)
    # One second passes from sample to sample, at 20 W.
    assert samples >= 5
    assert measured.joules == pytest.approx(20 * (samples - 1))
    assert measured.sources == ("nvml:GPU-old",)


def test_a_gpu_that_tells_nothing_is_none(tmp_path):
    with meter(tmp_path, Nvml({"GPU-a": {}})) as measured:
        pass
    assert (measured.joules, measured.sources) == (None, ())


def test_no_driver_is_none(tmp_path):
    nvml = Nvml({"GPU-a": {"millijoules": 7}}, driver=False)
    with meter(tmp_path, nvml) as measured:
        nvml.gpus["GPU-a"]["millijoules"] = 9
    assert measured.joules is None
    assert nvml.open == 0


def test_a_phase_that_fails_is_measured_and_the_error_passes(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    nvml = Nvml()
    measured = meter(tmp_path, nvml)

    def fail():
        with measured:
            energy.write_text("1000000")
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        fail()
    assert measured.joules == pytest.approx(1)
    assert nvml.open == 0


def test_a_meter_measures_anew_each_time(tmp_path):
    energy = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    measured = meter(tmp_path)
    for microjoules in (1_000_000, 3_000_000):
        with measured:
            energy.write_text(str(microjoules))
    assert measured.joules == pytest.approx(2)


def test_nvml_is_imported_only_where_a_phase_is_measured(tmp_path):
    code = (
        "import sys; from pathlib import Path; from harness.cost.energy import EnergyMeter\n"
        "measured = EnergyMeter(powercap=Path(sys.argv[1]))\n"
        "assert 'pynvml' not in sys.modules\n"
        "sys.modules['pynvml'] = None  # as where it is not installed\n"
        "with measured: pass\n"
        "assert (measured.joules, measured.sources) == (None, ())"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
