"""A browser for these modules, a window for each test, and a node with something to read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.end_to_end.browser import content
from tests.end_to_end.node import PASSWORD, RunningNode
from tests.programs import cannot

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 8000


# Not for the session: while Playwright is open its loop runs in this thread, and no other may.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser. Where there is none the tests are skipped, or fail when CI=true."""
    if not CHROMIUM.exists():
        cannot("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[content.Filled]:
    """A node with people, packages and documentation, the same for all modules that only read."""
    folder = tmp_path_factory.mktemp("hub")
    settings = {
        "UPSTREAM_ENABLED": "true",
        "OFFLINE": "true",  # there is a mirror to administer, and nothing is ever asked
        "HEXHUB_BACKUP_DIR": str(folder / "backups"),
    }
    running = RunningNode(folder, settings)
    try:
        yield content.fill(running)
    finally:
        code = running.stop()
    log = running.log_text()
    assert code == 0, f"the node ended with {code}:\n{log[-4000:]}"
    assert "Traceback" not in log, log[-8000:]


Window = Callable[..., Page]


@pytest.fixture
def window(chromium: Browser, hub: content.Filled) -> Iterator[Window]:
    """Opens windows, each with cookies of its own; what goes wrong in one fails the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_window(**options: object) -> Page:
        context = chromium.new_context(base_url=hub.url, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.extend(_elsewhere(hub.url, request.url)))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert not faults, faults


def _elsewhere(base: str, address: str) -> list[str]:
    """A page asks no other host for anything, ever."""
    if address.startswith((base, "data:", "blob:", "about:")):
        return []
    return [f"asked {address}"]


@pytest.fixture
def page(window: Window) -> Page:
    """A window of somebody who is not signed in."""
    return window()


@pytest.fixture
def mara_page(window: Window) -> Page:
    """A window in which mara, an administrator, is signed in."""
    opened = window()
    sign_in(opened, "mara")
    return opened


def sign_in(page: Page, name: str) -> None:
    """Sign in by the form."""
    page.goto("/login")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(lambda address: "/login" not in address)


def decoded(text: str) -> object:
    """What a page wrote down for the test."""
    return json.loads(text)
