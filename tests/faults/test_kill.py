"""`kill -9` at random moments; the same command then ends where an undisturbed run ends."""

import os
import random
import signal
import time
from collections import Counter

import pytest

from tests.faults.runs import MODES, REPORT, finished, lasting, records, stored_texts

SEED = 20_240


def kill_after(zygote, folder, commands, seconds):
    """Start commands and kill them after a time, a shorter one where they have ended by then."""
    while True:
        started = zygote.start(folder, *commands)
        time.sleep(seconds)
        os.kill(started.process, signal.SIGKILL)
        if started.wait() == -signal.SIGKILL:
            return folder
        seconds *= 0.8
        folder = folder.with_name(f"{folder.name}-again")


def where(folder, texts):
    """What was under way."""
    done, stored = len(finished(folder)), stored_texts(folder)
    if (folder / "leaderboards").exists():
        return "report"
    if done == len(MODES):
        return "between run and report"
    if done or stored == texts:
        return "index, search and results"
    return "encode and store" if stored else "start"


def survive(zygote, undisturbed, folder, seconds):
    """One kill: what was under way when it came.

    The same command then does what was not done and nothing else, and leaves equal results.
    """
    commands = [undisturbed.command, REPORT]
    folder = kill_after(zygote, folder, commands, seconds)
    done, stored = finished(folder), stored_texts(folder)
    place = where(folder, undisturbed.texts)
    before = {mode: path.stat().st_mtime_ns for mode, path in done.items()}
    ended = len(records(folder))

    zygote.finish(folder, *commands)
    record = records(folder)[-1]
    assert len(records(folder)) == ended + 1
    assert (record["kept"], record["computed"]) == (len(done), len(MODES) - len(done)), place
    assert record["texts_encoded"] == undisturbed.texts - stored, place
    after = finished(folder)
    assert {mode: after[mode].stat().st_mtime_ns for mode in done} == before
    assert lasting(folder) == undisturbed.results
    again = [*REPORT[:2], "leaderboards_dir=again", *REPORT[3:]]
    if place == "report":
        zygote.finish(folder, again)
        assert content(folder / "leaderboards") == content(folder / "again")
    return place


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".tmp"  # the killed writer's
    }


def kills(zygote, undisturbed, folder, count):
    """Spread two thirds of the kills over a run's length and one third over its report's.

    Each comes at a random moment of its share.
    """
    moments = random.Random(SEED)
    of_run = count * 2 // 3
    shares = [(number + moments.random()) / of_run for number in range(of_run)]
    late = [(number + moments.random()) / (count - of_run) for number in range(count - of_run)]
    seconds = [share * undisturbed.seconds for share in shares]
    seconds += [undisturbed.seconds + share * undisturbed.report_seconds for share in late]
    places = Counter(
        survive(zygote, undisturbed, folder / f"kill-{number}", moment)
        for number, moment in enumerate(seconds)
    )
    print(f"{places.total()} kills survived: {dict(places)}")
    assert places.total() == count
    return places


def test_three_kills(zygote, undisturbed, tmp_path):
    kills(zygote, undisturbed, tmp_path, 3)


@pytest.mark.slow
def test_thirty_kills(zygote, undisturbed, tmp_path, capsys):
    with capsys.disabled():
        print()
        places = kills(zygote, undisturbed, tmp_path, 30)
    assert places["encode and store"] >= 1
    assert places["index, search and results"] >= 1
    assert places["report"] >= 1
