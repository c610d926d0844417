"""Einsum and the ladder in real Chromium."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from layerscope.engine.foundations.einsum.explanation import EXAMPLES
from layerscope.engine.foundations.ladder import RUNGS
from tests.browser.serving import inaccessible

pytestmark = pytest.mark.browser


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def test_an_equation_typed_is_explained_and_its_link_restores_it(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]  # on the way there
    blank.goto(f"{url}/foundations/einsum")
    blank.locator("#c-shapes").fill("(3, 2, 5), (3, 5, 4)")
    blank.locator("#c-equation").fill("bij,bjk->bik")
    expect(blank.locator(".ein-axis")).to_have_count(9)  # the example before has six
    expect(blank.locator("#result")).to_contain_text("x0 @ x1")
    roles = blank.eval_on_selector_all(
        ".ein-axis", "els => els.map(e => e.querySelector('b').textContent + ' ' + e.classList[2])"
    )
    assert roles == [
        "b batched", "i kept", "j summed", "b batched", "j summed", "k kept",
        "b batched", "i kept", "k kept",
    ]  # fmt: skip
    # One letter, one colour, wherever it stands.
    colours = blank.eval_on_selector_all(
        ".ein-axis", "els => els.map(e => [e.querySelector('b').textContent,"
        " getComputedStyle(e).borderTopColor])"
    )  # fmt: skip
    assert len({tuple(pair) for pair in colours}) == len({letter for letter, _ in colours}) == 4
    expect(blank.locator("#c-equation")).to_be_focused()
    assert query_of(blank)["equation"] == ["bij,bjk->bik"]
    blank.reload()
    expect(blank.locator("#result")).to_contain_text("x0 @ x1")


def test_a_broken_rule_is_marked_under_its_letter(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    blank.goto(f"{url}/foundations/einsum")
    blank.locator("#c-equation").fill("ik,kj->iz")
    expect(blank.locator("#result")).to_contain_text("Broken rule: unknown output letter")
    lines = (blank.locator(".ein-caret").text_content() or "").split("\n")
    assert lines == ["ik,kj->iz", "        ^"]
    boxes = blank.evaluate(
        "(() => { const pre = document.querySelector('.ein-large'); const text = pre.firstChild;"
        " const range = document.createRange(); range.setStart(text, 8); range.setEnd(text, 9);"
        " const mark = document.createRange(); const caret = pre.querySelector('b').firstChild;"
        " mark.setStart(caret, 8); mark.setEnd(caret, 9);"
        " return [range.getBoundingClientRect().x, mark.getBoundingClientRect().x]; })()"
    )
    assert boxes[0] == pytest.approx(boxes[1], abs=1)
    expect(blank.locator("#c-equation")).to_have_attribute("aria-invalid", "true")
    assert inaccessible(blank) == []


def test_every_example_is_one_click_away(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/einsum")
    links = blank.locator(".examples a")
    expect(links).to_have_count(len(EXAMPLES))
    for at in (4, 8, 10):
        links.nth(at).click()
        expect(links.nth(at)).to_have_attribute("aria-current", "true")
        expect(blank.locator("#c-equation")).to_have_value(EXAMPLES[at].equation)
    assert inaccessible(blank) == []
    blank.emulate_media(color_scheme="dark")
    assert inaccessible(blank) == []


def test_the_ladder_follows_its_sliders_and_opens_by_keyboard(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/ladder?{urlencode({'batch': 20, 'inputs': 8})}")
    expect(blank.locator(".says")).to_contain_text("All seven rungs agree")
    expect(blank.locator(".rungs tbody tr")).to_have_count(len(RUNGS))
    slider = blank.locator("#s-hidden")
    slider.focus()
    blank.keyboard.press("Home")
    expect(blank.locator("#result")).to_contain_text("20×8 → 1 → 1")
    expect(slider).to_be_focused()
    assert query_of(blank)["hidden"] == ["1"]
    summary = blank.locator("#rung-module summary")
    summary.focus()
    blank.keyboard.press("Enter")
    expect(blank.locator("#rung-module pre").first).to_be_visible()
    right = blank.locator(".squares .right")
    expect(right).to_have_count(8)
    # An open rung stays open when the numbers change.
    blank.locator("#c-seed").fill("4")
    blank.wait_for_url("**seed=4**")
    assert inaccessible(blank) == []
    blank.reload()
    expect(blank.locator("#result")).to_contain_text("20×8 → 1 → 1")
    expect(blank.locator("#c-seed")).to_have_value("4")
    blank.emulate_media(color_scheme="dark")
    assert inaccessible(blank) == []
