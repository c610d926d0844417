"""A cold Lab page in real Chromium: one run, of which everything on the page comes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from layerscope.app.results import events
from layerscope.engine.experiment.specification import Experiment
from tests.browser.serving import until

pytestmark = pytest.mark.browser

NAN = "init=normal&activation=linear"
FIX = "Try init scale 0.1 ✓"


@pytest.fixture
def runs(works: list[Any]) -> Callable[[], list[Experiment]]:
    """Every experiment that the server was asked to run, for a page or for the API."""

    def experiments() -> list[Experiment]:
        return [w.args[0] for w in works if isinstance(w, partial) and w.func is events]

    return experiments


@pytest.mark.parametrize("query", ["", NAN])
@pytest.mark.parametrize("scripts", [True, False])
def test_a_cold_page_runs_its_experiment_once(
    browser: Browser,
    serve: Callable[..., Any],
    runs: Callable[[], list[Experiment]],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    scripts: bool,
) -> None:
    monkeypatch.setattr("layerscope.app.pages.lab.cold.PATIENCE_SECONDS", 60.0)
    with serve() as server:
        context = browser.new_context(java_script_enabled=scripts)
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/?{query}")
        if scripts:
            until(page, "document.querySelectorAll('.plot .main-svg').length >= 4")
            expect(page.locator("#check")).to_contain_text("gradient")
        expect(page.locator("#verdict h2")).to_contain_text("overflow" if query else "hold")
        expect(page.locator("#verdict .fixes a")).to_have_count(1 if query else 0)
        expect(page.locator("#layers tbody tr")).to_have_count(51 if query else 101)
        page.wait_for_load_state("networkidle")
        assert runs() == [Experiment.from_strings(parse_qsl(query))]
        parts = ("/api/", "/lab/")
        assert [url for url in asked if urlsplit(url).path.startswith(parts)] == []
        context.close()


def test_a_fix_that_takes_long_still_comes(
    browser: Browser,
    serve: Callable[..., Any],
    runs: Callable[[], list[Experiment]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("layerscope.app.pages.lab.cold.PATIENCE_SECONDS", 0.0)
    with serve() as server:
        page = browser.new_page()
        page.goto(f"{server.url}/?{NAN}")
        expect(page.locator("#verdict .fixes a")).to_contain_text(FIX)
        expect(page.locator("#verdict .remedy a")).to_contain_text(FIX)
        expect(page.locator("#check")).not_to_be_empty()
        assert len(runs()) == 1
        page.close()


def test_a_layer_that_is_not_ready_in_time_is_asked_for(
    browser: Browser, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layerscope.app.pages.lab.cold.PATIENCE_SECONDS", 0.0)
    with serve() as server:
        page = browser.new_page()
        with page.expect_request("**/lab/layer?*block=38*"):
            page.goto(f"{server.url}/?{NAN}")
        expect(page.locator("#inspector h2")).to_have_text("Layer 38")
        expect(page.locator("#strip [aria-selected=true]")).to_have_id("block-38")
        page.close()


@pytest.mark.parametrize("scale", ["2", "2.0", "2e0"])
def test_the_layer_is_shown_however_a_number_is_written(blank: Page, url: str, scale: str) -> None:
    """The server writes 2.0: what comes last, the trial, leaves the layer as it is."""
    blank.goto(f"{url}/?depth=20&width=30&init=normal&activation=tanh&init_scale={scale}")
    expect(blank.locator("#verdict .words")).to_contain_text("Tried on", timeout=60_000)
    until(blank, "document.querySelectorAll('#inspector canvas').length >= 2")
    assert blank.locator("#inspector").get_attribute("data-stale") is None
