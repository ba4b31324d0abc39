"""A clock that jumps: set forward and back by up to a day between any two readings."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.faults.runs import ROOT, lasting, records

JUMPY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static long readings;
static long jump(void) { return (__sync_fetch_and_add(&readings, 1) * 7919) % 172801 - 86400; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += jump();
    return status;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec spec;
    clock_gettime(CLOCK_REALTIME, &spec);
    now->tv_sec = spec.tv_sec;
    now->tv_usec = spec.tv_nsec / 1000;
    return 0;
}
"""
DAYS = "import time; found = [time.time() for _ in range(9)]; print(max(found) - min(found))"


@pytest.fixture(scope="module")
def jumpy(tmp_path_factory):
    """The environment of a process whose clock of the day jumps; its monotonic clock does not."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a clock that jumps with")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "jumpy.c").write_text(JUMPY)
    library = folder / "jumpy.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, folder / "jumpy.c", "-ldl"], check=True
    )
    environment = os.environ | {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    seen = subprocess.run(
        [sys.executable, "-c", DAYS], check=True, capture_output=True, text=True, env=environment
    )
    if float(seen.stdout) < 3600:
        pytest.skip("a library loaded first does not change this machine's clock")
    return environment


@pytest.mark.slow
def test_a_run_and_its_repetition(jumpy, zygote, undisturbed, tmp_path):
    reference = zygote.start(tmp_path / "reference", undisturbed.command, shard_each_batch=False)
    assert reference.wait() == 0
    folder = tmp_path / "run"
    folder.mkdir()
    for command in (undisturbed.command, undisturbed.command):
        done = subprocess.run(
            [sys.executable, "-m", "harness", *command],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env=jumpy,
        )
        assert done.returncode == 0, done.stderr
    assert "0 results computed, 4 kept" in done.stderr
    ours, theirs = lasting(folder), lasting(tmp_path / "reference")
    assert list(ours) == list(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert all(0 <= record["seconds"] < 600 for record in records(folder))
