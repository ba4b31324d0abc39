"""Chromium, and the leaderboard page opened from disk in it."""

import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from harness.reporting.page import page_text
from tests.browser.payloads import board, hostile

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, the system's own."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Pages as files: `board.html`, 10 systems on 6 tasks, and `hostile.html`."""
    folder = tmp_path_factory.mktemp("leaderboards")
    (folder / "board.html").write_text(page_text(board()), encoding="utf-8")
    (folder / "hostile.html").write_text(page_text(hostile()), encoding="utf-8")
    return folder


@contextmanager
def pages(chromium, folder):
    contexts, troubles = [], []

    def heard(page):
        page.on("request", lambda request: _allowed(request.url, troubles))
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (troubles.append("dialog"), dialog.dismiss()))
        page.on(
            "console",
            lambda line: troubles.append(line.text) if line.type in ("error", "warning") else None,
        )

    def open_page(name="board.html", *, ready=True, **given):
        usual = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"}
        context = chromium.new_context(**(usual | given))
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        heard(page)
        page.goto((folder / name).as_uri())
        if ready:
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def opened(chromium, folder):
    """Opens a page; requests for anything but files, complaints and dialogs fail the test.

    Args of what it makes: the file's name, what Chromium's contexts take, and `ready=False` to
    not wait for the page's script.
    """
    with pages(chromium, folder) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def opened_once(chromium, folder):
    """As `opened`, for a page that a module's tests share."""
    with pages(chromium, folder) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def still(chromium, folder):
    """The board, for tests that look and leave it as it is."""
    with pages(chromium, folder) as open_page:
        yield open_page()


def _allowed(url, troubles):
    if urlsplit(url).scheme not in ("file", "data"):
        troubles.append(f"request: {url[:100]}")
