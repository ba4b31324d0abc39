"""Records of hardware, software and commit, and the matrix-multiply peak."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from harness.cost import hardware
from harness.cost.hardware import GitCommit, git_commit, matmul_peak

CPUINFO = """processor\t: 0
model name\t: Some CPU @ 2.0GHz
flags\t\t: fpu avx2 amx_bf16 avx512f sse

processor\t: 1
model name\t: Another
"""


def test_hardware_record_survives_json():
    record = hardware.hardware_record()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {
        *("cpu", "cores", "threads", "cpu_flags", "memory_bytes", "gpus", "os", "python")
    }
    assert record["cpu"]
    assert record["cores"] >= 1
    assert record["threads"] == torch.get_num_threads()
    assert record["memory_bytes"] > 2**28
    assert record["python"] == sys.version.split()[0]


def test_hardware_record_does_not_import_torch():
    code = (
        "import sys; from harness.cost.hardware import hardware_record as r; record = r();"
        "assert record['threads'] is None; assert record['gpus'] == [];"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_first_processor_is_read(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO)
    fields = hardware._cpu_fields(cpuinfo)
    assert fields["model name"] == "Some CPU @ 2.0GHz"
    assert fields["flags"] == "fpu avx2 amx_bf16 avx512f sse"
    assert hardware._cpu_fields(tmp_path / "absent") == {}


def test_software_record():
    record = hardware.software_record(["numpy", "no-such-package-here"])
    assert record["numpy"]
    assert record["no-such-package-here"] is None
    assert list(record) == ["numpy", "no-such-package-here"]


@pytest.fixture
def checkout(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("needs git")
    root = tmp_path / "checkout"
    (root / "package").mkdir(parents=True)
    (root / "package" / "code.py").write_text("one = 1\n")
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    for command in (
        ("init", "--quiet"),
        ("add", "."),
        (*identity, "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "first"),
    ):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def head(root):
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_clean_and_dirty_checkout(checkout):
    assert git_commit(checkout / "package") == GitCommit(commit=head(checkout), dirty=False)
    (checkout / "notes.txt").write_text("untracked")
    assert git_commit(checkout / "package") == GitCommit(commit=head(checkout), dirty=False)
    (checkout / "package" / "code.py").write_text("one = 2\n")
    assert git_commit(checkout / "package") == GitCommit(commit=head(checkout), dirty=True)


def test_git_hook_variables_do_not_mislead(checkout, monkeypatch, tmp_path):
    expected = GitCommit(commit=head(checkout), dirty=False)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git_commit(checkout) == expected


def test_installed_package_within_a_foreign_checkout_has_no_commit(checkout):
    installed = checkout / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "code.py").write_text("one = 1\n")
    assert git_commit(installed) is None


def test_no_checkout_no_folder_or_no_git_is_none(tmp_path, monkeypatch):
    assert git_commit(tmp_path) is None
    assert git_commit(tmp_path / "absent") is None
    monkeypatch.setenv("PATH", "")
    assert git_commit(tmp_path) is None


def test_slow_git_is_none(monkeypatch, tmp_path):
    def run(*arguments, timeout, **options):
        raise subprocess.TimeoutExpired("git", timeout)

    monkeypatch.setattr(hardware.subprocess, "run", run)
    assert git_commit(tmp_path) is None


def test_matmul_peak_is_plausible():
    # Between a slow single core and far above any CPU.
    assert 1e8 < matmul_peak("cpu", torch.float32, seconds=0.05) < 1e14


def test_matmul_peak_divides_the_work_by_the_median_time(monkeypatch):
    products = []
    now = [0.0]

    def mm(left, right, out):
        # A machine at 1 TFLOP/s, with one hiccup that the median must ignore.
        products.append(left.shape[0])
        now[0] += 2.0 * left.shape[0] ** 3 / 1e12 + (0.5 if len(products) == 6 else 0)

    monkeypatch.setattr(torch, "mm", mm)
    monkeypatch.setattr(hardware.time, "perf_counter", lambda: now[0])
    assert matmul_peak("cpu", torch.float32, seconds=0.02) == pytest.approx(1e12)
    # 1024 takes 2.1 ms; 2048 would take 17 ms, more than a third of 0.02 s.
    assert set(products) == {512, 1024}
    assert products.count(1024) >= 5


@pytest.mark.parametrize(
    ("dtype", "seconds", "why"),
    [(torch.int64, 0.1, "floating-point"), (torch.float32, 0.0, "positive")],
)
def test_matmul_peak_refuses(dtype, seconds, why):
    with pytest.raises(ValueError, match=why):
        matmul_peak("cpu", dtype, seconds=seconds)


def test_the_cpu_needs_no_synchroniser():
    assert hardware.synchroniser("cpu") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_matmul_peak_on_a_gpu():
    wait = hardware.synchroniser("cuda")
    assert wait is not None
    wait()
    assert matmul_peak("cuda", torch.float16) > 1e12
