"""The way of who sees the Lab for the first time, and what every page owes its reader."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.lab import api, cold, idle, settle, stds
from tests.browser.serving import frames, inaccessible, until
from tests.browser.shots import views

pytestmark = pytest.mark.browser

PAGES = {name: path for name, path in views().items() if name != "lab-deep"}
WIDTHS = (390, 1024, 1600)

# Every text that is seen, smaller than so many pixels as it is drawn: figures scale theirs.
SMALL = """(least) => {
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    if (element.closest("script, style, noscript, .visually-hidden, title, desc")) continue;
    const drawn = element.closest("svg") && element.getScreenCTM?.();
    const size = parseFloat(getComputedStyle(element).fontSize) * (drawn ? Math.hypot(drawn.a, drawn.b) : 1);
    if (size < least - 0.01) found.add(`${size.toFixed(2)}px ${element.tagName} ${element.className.baseVal ?? element.className}: ${node.data.trim().slice(0, 30)}`);
  }
  return [...found];
}"""  # noqa: E501

# Words in charts that are written over others.
COVERED = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const words = [...plot.querySelectorAll(".words-over span")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return words.flatMap(([name, a], i) => words.slice(i + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other]) => `${name} over ${other}`));
})"""  # noqa: E501


def picture(page: Page) -> dict[str, Any]:
    """What is seen of an experiment: words, cells, the chosen layer, the curves."""
    found: dict[str, Any] = page.evaluate("""() => ({
      words: document.querySelector("#verdict .words").textContent,
      cells: [...document.querySelectorAll("#strip .cell")].map(cell => cell.className),
      chosen: document.querySelector("#strip [aria-selected=true]").id,
      layer: document.querySelector("#inspector h2").textContent,
      tensors: [...document.querySelectorAll("#inspector canvas")].map(c => c.toDataURL()),
      curves: [...document.querySelectorAll(".plot")].map(plot =>
        plot.data.map(({x, y, z}) => JSON.stringify([x, y, z]))),
    })""")
    return found


def test_a_stranger_breaks_it_repairs_it_and_passes_it_on(
    page: Page, context: BrowserContext, url: str
) -> None:
    expect(page.locator("#intro")).to_contain_text("A network of 50 layers of 100 units")
    expect(page.locator("#inspector canvas")).to_have_count(4)
    page.get_by_role("link", name="Break it").click()
    settle(page, "overflow float32 at layer 38")
    expect(page.locator("#inspector h2")).to_have_text("Layer 38")
    page.get_by_role("link", name="Repair it").click()
    settle(page, "hold")
    page.locator("#block-12").click()
    expect(page.locator("#inspector h2")).to_have_text("Layer 12")
    expect(page.locator("#inspector")).not_to_have_attribute("data-stale", "")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#toast")).to_have_text("Link copied")
    idle(page)
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("#layer=12")
    elsewhere = context.new_page()
    elsewhere.goto(link)
    until(elsewhere, "document.querySelectorAll('.plot .main-svg').length >= 4")
    expect(elsewhere.locator("#inspector h2")).to_have_text("Layer 12")
    until(elsewhere, "document.querySelector('#chart-activations .plot').data[2].y.length === 51")
    assert picture(elsewhere) == picture(page)
    assert elsewhere.evaluate(
        "document.querySelector('#chart-activations .plot').data[4].y"
    ) == stds(api(url))


def test_the_experiment_goes_along_and_comes_back(page: Page) -> None:
    page.locator("#c-depth").fill("7")
    page.locator("#c-depth").press("Tab")
    page.wait_for_url("**/?depth=7")
    header = page.locator("header.bar nav")
    header.get_by_role("link", name="Why").click()
    expect(page.locator("#c-depth")).to_have_value("7")
    header.get_by_role("link", name="Foundations").click()
    page.wait_for_url("**/foundations")
    header.get_by_role("link", name="Lab").click()
    expect(page.locator("#c-depth")).to_have_value("7")


def test_walking_shows_the_way_there_and_back(blank: Page, url: str) -> None:
    page = blank
    cold(page, url, "depth=6&width=12&batch=16")
    reached = "document.querySelectorAll('#strip .cell.reached').length"
    page.keyboard.press("w")
    assert page.evaluate(reached) == 1
    expect(page.locator("#inspector h2")).to_have_text("Layer 1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(reached) == 3
    expect(page.locator("#inspector h2")).to_have_text("Layer 3")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(reached) == 8  # all 7 forward, and the first step back
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(reached) == 7
    page.keyboard.press("w")
    assert page.evaluate(reached) == 0


def test_playing_ends_by_itself_or_by_any_key(page: Page) -> None:
    walking = "document.querySelector('#strip ol').hasAttribute('data-walking')"
    page.get_by_role("button", name="Play").click()
    until(page, walking)
    page.keyboard.press("Shift")
    assert not page.evaluate(walking)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Play").click()
    assert not page.evaluate(walking)


def test_a_wrong_address_gets_a_page(blank: Page, url: str) -> None:
    blank.allowed.append("404")  # type: ignore[attr-defined]
    blank.goto(f"{url}/lab/nowhere")
    expect(blank.get_by_role("heading", level=1)).to_have_text("There is nothing at this address")
    blank.locator("main").get_by_role("link", name="The Lab").click()
    expect(blank.locator("#verdict h2")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_no_text_is_too_small_to_read_and_axe_finds_nothing_in_both_themes(
    blank: Page, url: str, name: str
) -> None:
    blank.allowed += ["422", "404"]  # type: ignore[attr-defined]
    for width in WIDTHS:
        blank.set_viewport_size({"width": width, "height": 900})
        blank.goto(url + PAGES[name])
        blank.wait_for_load_state("networkidle")
        assert blank.evaluate(SMALL, 11) == [], width
        assert blank.evaluate("document.documentElement.scrollWidth") <= width
    # On a screen as high as the page's first charts, which are drawn as they come into view.
    blank.set_viewport_size({"width": 1440, "height": 1500})
    frames(blank, 4)
    assert inaccessible(blank) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_a_projection_can_be_read_from_the_last_row(
    blank: Page, url: str, size: tuple[int, int]
) -> None:
    blank.set_viewport_size({"width": size[0], "height": size[1]})
    for query in ("", "init=normal&activation=linear", "activation=tanh&init_scale=2"):
        blank.goto(f"{url}/?{query}#present=1")
        for chart in ("gradients", "magnitudes", "silent", "activations"):
            blank.locator(f".which [value={chart}]").click()
            drawn = blank.locator(f"#chart-{chart} .main-svg").first
            expect(drawn).to_be_visible()
            idle(blank)
            assert blank.evaluate(SMALL, 20) == [], chart
            assert blank.evaluate(COVERED) == [], chart
            box = drawn.bounding_box()
            assert box
            assert box["y"] + box["height"] <= size[1], chart
        assert blank.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_names_of_curves_that_meet_stand_apart(blank: Page, url: str) -> None:
    for query in ("init=normal&activation=linear", "depth=3&width=8"):
        blank.goto(f"{url}/?{query}")
        blank.locator("#chart-activations").scroll_into_view_if_needed()
        until(blank, "document.querySelectorAll('#chart-activations .words-over span').length >= 3")
        assert blank.evaluate(COVERED) == [], query
