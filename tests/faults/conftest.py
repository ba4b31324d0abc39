import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.runs import REPORT, Zygote, lasting, run_command, stored_texts, write_collection


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happened to.

    Attributes:
        folder: Its working directory.
        command: What was run.
        seconds: How long the run took.
        report_seconds: How long its report took.
        results: What it left, see `lasting`.
        texts: Distinct texts that were encoded.
    """

    folder: Path
    command: list[str]
    seconds: float
    report_seconds: float
    results: dict[str, bytes]
    texts: int


@pytest.fixture(scope="session")
def command(tmp_path_factory, tiny_bert):
    """`harness run` on forty texts and eight queries with a random model of 16 dimensions."""
    collection = write_collection(tmp_path_factory.mktemp("collections") / "forty")
    return run_command(collection, tiny_bert)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory, command):
    """Starts runs without the time that imports take."""
    one = Zygote(tmp_path_factory.mktemp("zygote"), [command, REPORT])
    yield one
    one.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, zygote, command):
    """A run and its report that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    zygote.finish(folder, command)
    between = time.monotonic()
    zygote.finish(folder, REPORT)
    ended = time.monotonic()
    return Undisturbed(
        folder, command, between - began, ended - between, lasting(folder), stored_texts(folder)
    )
