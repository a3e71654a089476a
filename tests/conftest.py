"""What all tests share: a browser, found once, and a page that stays off the network."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from singlab.doctor import chromium

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1", None)


def outside(urls: list[str]) -> list[str]:
    """Return the addresses that do not belong to this computer."""
    return [url for url in urls if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname not in LOOPBACK]


def need_browser() -> str:
    """Return the path of Chromium; without one, fail where CI is set and skip loudly elsewhere."""
    path = chromium()
    if path is None:
        message = "no Chromium on this computer: the browser tests have NOT been run; install chromium to run them"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="module", autouse=True)
def what_a_module_leaves():
    """Let the processes that a module's experiments were spread over, and the figures it has drawn, end with it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if "singlab.experiments.spread" in sys.modules:
        sys.modules["singlab.experiments.spread"].close()


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium. A module's own: while it lives, an event loop runs in this thread."""
    path = need_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chrome
        chrome.close()


@pytest.fixture
def watched_page(browser):
    """Return a way to open a page whose script errors and requests are kept."""

    @contextmanager
    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        page = context.new_page()
        page.errors, page.requests = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("websocket", lambda socket: page.requests.append(socket.url))
        try:
            yield page
        finally:
            context.close()

    return open_page
