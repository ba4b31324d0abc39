"""Disks that are full or cannot be written: one line with the remedy, and then on from there."""

import os
import shutil
import subprocess

import pytest

from tests.faults.runs import MODES, REPORT, finished, lasting


@pytest.fixture
def mount(tmp_path):
    """Mounts a file system in memory: a folder, with an option's value changed at will."""
    mounted = []

    def make(name, options):
        folder = tmp_path / name
        new = not folder.exists()
        if new:
            folder.mkdir(parents=True)
        how = options if new else f"remount,{options}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(folder)],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        if new:
            mounted.append(folder)
        return folder

    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def only_line(said):
    """What is told besides progress, one line without a traceback."""
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith(("harness:", "not finished:"))]
    return line


@pytest.mark.parametrize("size", [pytest.param(4, marks=pytest.mark.slow), 96])
def test_a_full_disk_under_the_store(zygote, undisturbed, mount, tmp_path, size):
    disk = mount("disk", f"size={size}k")
    command = [*undisturbed.command, f"store_dir={disk}"]
    started = zygote.start(tmp_path / "run", command)
    assert started.wait() == 2
    line = only_line(started.said())
    assert str(disk) in line
    assert "No space left on device" in line
    assert "make room" in line
    assert list(disk.rglob("*.tmp")) == []
    mount("disk", "size=64m")
    zygote.finish(tmp_path / "run", command)
    assert same(tmp_path / "run", undisturbed)


@pytest.mark.parametrize(
    "size", [*(pytest.param(size, marks=pytest.mark.slow) for size in (4, 60)), 140]
)
def test_a_full_disk_under_the_results(zygote, undisturbed, mount, tmp_path, size):
    disk = mount("run/results", f"size={size}k")
    started = zygote.start(tmp_path / "run", undisturbed.command)
    assert started.wait() in (1, 2)
    line = only_line(started.said())
    assert "No space left on device" in line
    assert "make room" in line
    assert list(disk.rglob("*.tmp")) == []
    done = len(finished(tmp_path / "run"))
    assert done < len(MODES)
    mount("run/results", "size=64m")
    said = zygote.finish(tmp_path / "run", undisturbed.command)
    assert f"{len(MODES) - done} results computed, {done} kept" in said
    assert same(tmp_path / "run", undisturbed)


def same(folder, undisturbed):
    """Whether results are those of the undisturbed run, but for the name of the store."""
    ours, theirs = lasting(folder), undisturbed.results
    settings = [name for name in theirs if name.endswith("config.yaml")]
    return all(ours.pop(name) and theirs[name] for name in settings) and ours == {
        name: content for name, content in theirs.items() if name not in settings
    }


@pytest.mark.slow
def test_a_full_disk_under_the_leaderboards(zygote, undisturbed, mount, tmp_path):
    folder = tmp_path / "run"
    zygote.finish(folder, undisturbed.command)
    disk = mount("run/leaderboards", "size=200k")
    started = zygote.start(folder, REPORT)
    assert started.wait() == 2
    assert "leaderboards_dir=leaderboards" in only_line(started.said())
    assert list(disk.rglob("*.tmp")) == []
    mount("run/leaderboards", "size=64m")
    zygote.finish(folder, REPORT)


def test_results_that_cannot_be_written(zygote, undisturbed, mount, tmp_path):
    """Nothing is encoded for results that have no place."""
    folder = tmp_path / "run"
    disk = mount("run/results", "size=64m")
    mount("run/results", "ro")
    started = zygote.start(folder, undisturbed.command)
    assert started.wait() == 2
    assert "results_dir=results cannot be written" in only_line(started.said())
    assert list(disk.iterdir()) == []
    assert not (folder / "store").exists()


@pytest.mark.slow
def test_results_that_can_only_be_read(zygote, undisturbed, mount, tmp_path):
    folder = tmp_path / "run"
    mount("run/results", "size=64m")
    zygote.finish(folder, undisturbed.command)
    mount("run/results", "ro")
    assert "leaderboard of 4 results" in zygote.finish(folder, REPORT)
    started = zygote.start(folder, undisturbed.command)
    assert started.wait() == 2
    assert "results_dir=results cannot be written" in only_line(started.said())
    assert same(folder, undisturbed)


@pytest.mark.slow
def test_a_store_that_can_only_be_read(zygote, undisturbed, mount, tmp_path):
    """Stored texts are read from it; others cannot be added."""
    folder = tmp_path / "run"
    mount("run/store", "size=64m")
    zygote.finish(folder, undisturbed.command)
    mount("run/store", "ro")
    (folder / "results").rename(folder / "before")
    said = zygote.finish(folder, undisturbed.command)
    assert "0 texts encoded, 48 read from the store" in said
    assert same(folder, undisturbed)
    started = zygote.start(folder, [*undisturbed.command, "pooling=cls"])
    assert started.wait() == 2
    line = only_line(started.said())
    assert "Read-only file system" in line
    assert "store_dir" in line
