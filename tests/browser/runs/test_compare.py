"""Runs compared, in real Chromium."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from layerscope.app.figures.text import number
from layerscope.engine.store import Batch, Store
from layerscope.engine.store.entries import Modules, Start, StepEntry
from layerscope.engine.store.location import default_url
from tests.browser.recorded import api
from tests.browser.serving import inaccessible, until
from tests.browser.training import BROKEN, train
from tests.runs import facts, recorded_run

pytestmark = pytest.mark.browser


def test_runs_are_ticked_and_drawn_on_the_same_axes(blank: Page, site: str, file: Path) -> None:
    train(file, BROKEN)
    train(file, [(12, 0.1)])
    blank.goto(f"{site}/runs")
    for box in blank.locator("input[name=run]").all():
        box.check()
    blank.get_by_role("button", name="Compare", exact=True).click()
    drawn = "document.querySelector('#compared-{} .plot').data"
    until(blank, f"{drawn.format('quantity')}?.length === 4")
    blank.locator("select[name=quantity]").select_option("gradient_std")
    blank.wait_for_url("**quantity=gradient_std**")
    blank.locator("select[name=module]").select_option("2")
    blank.wait_for_url("**module=2**")
    until(blank, "document.querySelector('#quantity-title').textContent === 'Gradient of 2'")
    query = blank.url.partition("?")[2]
    runs = api(site, f"compare?{query}")["runs"]
    losses = blank.evaluate(f"{drawn.format('loss')}.filter((_, i) => i % 2 === 0).map(t => t.y)")
    assert losses == [each["loss"] for each in runs]
    blank.locator("input[name=step]").fill("5")
    blank.keyboard.press("Tab")
    blank.wait_for_url("**step=5**")
    expect(blank.locator("#compared")).to_contain_text(number(runs[0]["loss"][4]))
    blank.reload()
    until(blank, f"{drawn.format('loss')}?.length === 4")
    assert inaccessible(blank) == []


def compared(page: Page, site: str, file: Path) -> Any:
    """The page of a finished run and of one that trains on for long; the store that they are in."""
    store = Store(default_url(file.parent), clock=lambda: time.time() + 3600)
    recorded_run(store, "ended", {"lr": 1, "seed": 0}, [[1.0], [0.5]])
    told = [Start("live", {"lr": 2, "seed": 0}, 0.0), Modules([f.to_bytes() for f in facts(1)])]
    store.append("live", Batch(1, [*told, StepEntry(1, 0.0, 1.0, b"")]))
    page.goto(f"{site}/compare?run=ended&run=live")
    until(page, "document.querySelector('#compared-loss .plot').data?.length === 4")
    return store


def test_a_wrong_step_is_said_beside_it_and_what_is_compared_stays(
    blank: Page, site: str, file: Path
) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    compared(blank, site, file).close()
    blank.locator(".choices input").last.evaluate("box => (box.checked = !box.checked)")
    step = blank.locator("input[name=step]")
    step.fill("abc")
    step.press("Tab")
    expect(blank.locator("#step-error")).to_contain_text("expected a whole number")
    assert step.get_attribute("aria-invalid") == "true"
    assert blank.locator("#figures-title").is_visible()
    assert "step" not in blank.url
    step.fill("7")
    step.press("Tab")
    blank.wait_for_url("**step=7**")
    expect(blank.locator("#step-error")).to_be_empty()
    expect(blank.locator("#compared tbody").first).to_contain_text("0.500")
    # A tick that was not sent yet is none of what is shown.
    assert re.findall(r"run=(\w+)", blank.url) == ["ended", "live"]
    twin = blank.locator("#twin").get_attribute("href")
    blank.locator("select[name=quantity]").select_option("learning_rate")
    blank.wait_for_url("**quantity=learning_rate**")
    assert blank.locator("#twin").get_attribute("href") != twin
    expect(blank.locator("#quantity-title")).to_have_text("Learning rate")
    expect(blank.locator("#of")).to_be_hidden()


def test_what_comes_leaves_the_focus_and_what_is_open(blank: Page, site: str, file: Path) -> None:
    store = compared(blank, site, file)
    blank.locator(".same summary").click()
    region = blank.locator("#compared .scroll-x").first
    region.focus()
    region.evaluate("element => (window.kept = element)")
    blank.locator("input[name=step]").evaluate("input => (input.value = 'typed')")
    store.append("live", Batch(4, [StepEntry(2, 0.0, 0.25, b"")]))
    expect(blank.locator("#compared tbody").first).to_contain_text("0.250")
    store.close()
    assert blank.evaluate("document.activeElement === window.kept")
    assert blank.locator(".same").get_attribute("open") is not None
    assert blank.locator("input[name=step]").input_value() == "typed"
    until(blank, "document.querySelector('#compared-loss .plot').data[2].y.length === 2")
