"""The API's documentation in a real browser: from our own address, under our own policy."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, expect

pytestmark = pytest.mark.browser


def test_swagger_ui_shows_every_route_and_can_be_tried(context: BrowserContext, url: str) -> None:
    page = context.new_page()
    wrong: list[str] = []
    hosts: set[str] = set()
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: hosts.add(urlsplit(r.url).netloc))
    page.goto(f"{url}/docs")
    for path in ("/api/v1/experiment", "/api/v1/experiment/stream", "/api/v1/registry", "/healthz"):
        expect(page.locator(f'.opblock-get [data-path="{path}"]')).to_be_visible()
    page.locator('.opblock-get [data-path="/api/v1/presets"]').click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")
    expect(page.locator("#problem-over-limit")).to_contain_text("over-limit")
    assert wrong == []
    assert hosts <= {urlsplit(url).netloc, ""}
