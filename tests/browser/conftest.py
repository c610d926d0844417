from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request

from tests.browser.serving import PATIENCE_MS, chromium, until
from tests.serving import RunningServer, wait_until


@pytest.fixture
def asked_server(server: RunningServer) -> RunningServer:
    """The server that a test's pages are asked of."""
    return server


@pytest.fixture
def url(asked_server: RunningServer) -> str:
    return asked_server.url


# Not for the session: an open Playwright keeps an event loop running in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(
        viewport={"width": 1440, "height": 1500}, permissions=["clipboard-read", "clipboard-write"]
    )
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def blank(context: BrowserContext, asked_server: RunningServer) -> Iterator[Page]:
    """A page that fails its test on any console error, foreign request or request left open.

    Which requests are open is asked of the server: of one that was aborted while its connection
    was made Chromium does not always tell the end.
    """
    opened = context.new_page()
    wrong: list[str] = []
    host = urlsplit(asked_server.url).netloc

    def asked(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")) and urlsplit(request.url).netloc != host:
            wrong.append(f"foreign request {request.url}")

    opened.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", asked)
    opened.allowed = []  # type: ignore[attr-defined]  # texts of errors that a test provokes
    yield opened
    for _ in range(1000):
        opened.wait_for_timeout(10)  # lets Playwright deliver its events
        if not asked_server.answering:
            break
    opened.close()  # before a server of the test's own, which would wait for what it still follows
    unexpected = [w for w in wrong if not any(a in w for a in opened.allowed)]  # type: ignore[attr-defined]
    assert unexpected == []
    wait_until(lambda: not asked_server.answering)


@pytest.fixture
def page(blank: Page, url: str) -> Page:
    """The Lab, drawn."""
    blank.goto(url)
    drawn(blank)
    return blank


def drawn(page: Page) -> None:
    """Waits until the four charts of a cold page are drawn."""
    until(page, "document.querySelectorAll('.plot .main-svg').length >= 4")
