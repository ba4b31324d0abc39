"""Data that cannot be had: whether there is a hub, what is said, and that nothing is retried."""

import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import datasets
import mteb
import pytest
from huggingface_hub import constants

from harness.errors import TaskFailedError
from harness.evaluation import downloads
from harness.evaluation.downloads import (
    DataLoader,
    UnreachableDataError,
    from_cache_only,
    unreachable_line,
)

REMEDY = (
    "set HF_ENDPOINT to a mirror, or HF_HOME to a cache that has them, or give folders with "
    "tasks=folder tasks.path=[DIR,…]"
)


@pytest.fixture(autouse=True)
def switches(monkeypatch):
    """The libraries' offline switches, on line while a test lasts and as before after it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def server(monkeypatch):
    """Makes a hub that answers every request with one status; gives the requests that it had."""
    running = []

    def start(status, **headers):
        class Answer(BaseHTTPRequestHandler):
            def do_HEAD(self):
                asked.append((self.command, self.path))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_HEAD

            def log_message(self, *_):
                pass

        asked = []
        made = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        running.append(made)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{made.server_port}")
        return asked

    yield start
    for made in running:
        made.shutdown()
        made.server_close()


@pytest.mark.parametrize("status", [200, 401, 404, 500, 503])
def test_a_hub_that_answers_anything_is_there(server, status):
    asked = server(status)
    assert downloads._hub_answers() is True
    assert [command for command, _ in asked] == ["HEAD"]


def test_a_redirection_to_nowhere_is_no_answer(server):
    server(302, Location=f"http://127.0.0.1:{closed_port()}/")
    assert downloads._hub_answers() is False


def test_a_closed_port_is_no_hub(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    began = time.monotonic()
    assert downloads._hub_answers() is False
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("endpoint", ["", "no address", "http://[half"])
def test_an_endpoint_that_is_no_address_is_no_hub(monkeypatch, endpoint):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    assert downloads._hub_answers() is False


def test_a_silent_hub_is_given_up_on(monkeypatch):
    monkeypatch.setattr(downloads, "_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        began = time.monotonic()
        assert downloads._hub_answers() is False
        assert 0.1 < time.monotonic() - began < 5


def test_offline_asks_nobody(server, monkeypatch):
    asked = server(200)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert downloads._hub_answers() is False
    assert asked == []


class Task:
    """What a loader knows of a task: whether it is loaded, its data set, how it loads."""

    def __init__(self, load=lambda: None, *, loaded=False):
        self.data_loaded = loaded
        self.metadata = type("Metadata", (), {"dataset": {"path": "org/set", "revision": "1"}})
        self.load_data = load


def fails(error):
    def load():
        raise error

    return load


@pytest.fixture
def hub(monkeypatch):
    """Says whether the hub answers; gives how often that was asked."""
    asked = []

    def answers(there):
        monkeypatch.setattr(downloads, "_hub_answers", lambda: asked.append(1) or there)
        return asked

    return answers


def test_loaded_data_need_no_hub(hub):
    asked = hub(False)
    DataLoader().load(Task(fails(AssertionError("loaded again")), loaded=True))
    assert asked == []
    assert constants.HF_HUB_OFFLINE is False


def test_a_hub_that_answers_leaves_the_libraries_on_line(hub):
    loaded, asked = [], hub(True)
    loader = DataLoader()
    for _ in range(3):
        loader.load(Task(lambda: loaded.append(constants.HF_HUB_OFFLINE)))
    assert loaded == [False] * 3
    assert asked == [1]
    assert os.environ["HF_HUB_OFFLINE"] == "0"


def test_without_a_hub_the_caches_are_still_read(hub):
    loaded, asked = [], hub(False)
    loader = DataLoader()

    def load():
        loaded.append((constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))

    for _ in range(3):
        loader.load(Task(load))
    assert loaded == [(True, True)] * 3
    assert asked == [1]
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_data_that_no_cache_has(hub):
    hub(False)
    with pytest.raises(UnreachableDataError) as caught:
        DataLoader().load(Task(fails(ConnectionError("one\nof many lines"))))
    assert caught.value.dataset == "org/set"
    assert str(caught.value) == f"its data set org/set is in no cache and no hub answers; {REMEDY}"


def test_a_broken_data_set_has_its_reason(hub):
    hub(True)
    with pytest.raises(TaskFailedError) as caught:
        DataLoader().load(Task(fails(ValueError("no split\n'test'" + "x" * 500))))
    assert not isinstance(caught.value, UnreachableDataError)
    reason = "no split 'test'" + "x" * 185
    assert str(caught.value) == f"its data set org/set cannot be loaded ({reason}); {REMEDY}"


@pytest.mark.parametrize("before", [True, False])
def test_for_a_while_only_caches_are_read(monkeypatch, before):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", before)

    def inside():
        with from_cache_only():
            assert constants.HF_HUB_OFFLINE is True
            raise KeyError

    with pytest.raises(KeyError):
        inside()
    assert constants.HF_HUB_OFFLINE is before


def test_one_line_for_all_that_are_missing():
    missing = [("SCIDOCS", "mteb/scidocs"), ("STS12", "mteb/sts12")]
    assert unreachable_line(missing, ["one", "two"]) == (
        f"no data for SCIDOCS (mteb/scidocs), STS12 (mteb/sts12): {REMEDY}; "
        "run all the same: one, two"
    )
    assert unreachable_line(missing[:1], []) == f"no data for SCIDOCS (mteb/scidocs): {REMEDY}"


def test_a_long_list_is_cut():
    missing = [(f"T{n}", f"d/{n}") for n in range(8)]
    others = [f"o{n}" for n in range(6)]
    assert unreachable_line(missing, others) == (
        "no data for T0 (d/0), T1 (d/1), T2 (d/2), T3 (d/3), T4 (d/4) and 3 more: "
        f"{REMEDY}; run all the same: o0, o1, o2, o3, o4 and 1 more"
    )
    assert "more" not in unreachable_line(missing[:5], others[:5])


REAL = """
import sys, time
import mteb
from harness.evaluation.downloads import DataLoader, UnreachableDataError
loader, began = DataLoader(), time.monotonic()
for name in sys.argv[1:]:
    try:
        loader.load(mteb.get_task(name))
    except UnreachableDataError as error:
        print(name, error.dataset)
print(time.monotonic() - began)
"""


def test_real_tasks_of_every_kind_of_loader_fail_at_once(tmp_path):
    """Nothing of a cache, an address where nobody listens: mteb's own loading, no retries."""
    names = ["SCIDOCS", "STS17", "Banking77Classification", "BUCC.v2", "SciDocsRR", "SummEval"]
    environment = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    environment |= {"HF_HOME": str(tmp_path), "HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}"}
    done = subprocess.run(
        [sys.executable, "-c", REAL, *names],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    *lines, seconds = done.stdout.splitlines()
    paths = [mteb.get_task(name).metadata.dataset["path"] for name in names]
    assert lines == [f"{name} {path}" for name, path in zip(names, paths, strict=True)]
    assert float(seconds) < 10
    assert "Retrying" not in done.stderr
