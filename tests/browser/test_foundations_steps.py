"""Foundations' pages of one form, in real Chromium: numbers, links, keyboard, pixels."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.serving import inaccessible

pytestmark = pytest.mark.browser

SLUGS = ("neuron", "layer", "elementwise", "reductions", "broadcasting", "derivatives")
# One state of each page that shows everything that it can draw.
STATES = {
    "neuron": "activation=gelu",
    "layer": "batch_size=4&n_inputs=5&n_neurons=3",
    "elementwise": "a=[10.,20]&b=[[1,2,3],[4,5,6]]",
    "reductions": "x=[[[1,2],[3,4]],[[5,6],[7,8]]]&axes=0, 2",
    "broadcasting": "a=3&a_index=[:, None]&b=4&c=1",
    "derivatives": "name=hardtanh",
}


@pytest.fixture
def step(blank: Page, url: str) -> Any:
    """``step("neuron", "bias=1")`` opens a page."""

    def open_step(slug: str, query: str = "") -> Page:
        blank.goto(f"{url}/foundations/{slug}?{query}")
        return blank

    return open_step


def api(page: Page) -> Any:
    """The JSON twin of the page as it stands."""
    link = page.locator("[data-twin]").get_attribute("href")
    assert link
    base = urlsplit(page.url)
    with urllib.request.urlopen(f"{base.scheme}://{base.netloc}{link}") as answer:  # noqa: S310
        return json.load(answer)


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def test_the_tour_leads_from_the_neuron_to_the_lab(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations")
    stops = blank.locator(".stop")
    count = stops.count()
    for at in range(count):
        assert coloured(blank, stops.nth(at).locator("svg").screenshot()) > 0.002, at
    steps = blank.locator(".stop[href*='/foundations/']:not([href$='/conclusion'])").count()
    stops.first.click()
    for _ in range(steps - 1):
        place = blank.url
        blank.locator("a[rel=next]").click()
        expect(blank).not_to_have_url(place)
    expect(blank.locator("a[rel=next]")).to_have_attribute("href", "/")


def test_a_slider_moves_the_sum_the_drawing_and_the_address(step: Any) -> None:
    page = step("neuron")
    slider = page.locator("#r-weights-0")
    slider.focus()
    page.keyboard.press("End")
    expect(page.locator("output").first).to_have_text("2 + 1.6 - 1.5 + 2.5 + 2 = 6.6")
    assert page.locator("#c-weights").input_value() == "2, 0.8, -0.5, 1.0"
    assert page.locator("#d-weights-0").input_value() == "2"
    assert query_of(page)["weights"] == ["2, 0.8, -0.5, 1.0"]
    widths = page.eval_on_selector_all(
        ".net .edge[stroke-width]",
        "els => els.slice(0, 4).map(e => +e.getAttribute('stroke-width'))",
    )
    assert widths[0] == max(widths)
    assert api(page)["total"] == pytest.approx(6.6)
    expect(slider).to_be_focused()
    page.reload()
    expect(page.locator("output").first).to_have_text("2 + 1.6 - 1.5 + 2.5 + 2 = 6.6")


def test_typing_keeps_the_focus_and_a_mistake_its_text(step: Any) -> None:
    page = step("neuron")
    page.allowed.append("422")
    bias = page.locator("#c-bias")
    bias.fill("")
    bias.press_sequentially("two")
    expect(page.locator("#bias-error")).to_have_text("expected a number, such as 0.5")
    expect(bias).to_be_focused()
    assert bias.input_value() == "two"
    assert bias.get_attribute("aria-invalid") == "true"
    expect(page.locator("#result")).to_contain_text("Nothing to show")
    bias.fill("-3")
    expect(page.locator("#bias-error")).to_be_empty()
    expect(page.locator("output").first).to_have_text("0.2 + 1.6 - 1.5 + 2.5 - 3 = -0.2")
    assert page.locator("#s-bias").input_value() == "-3"


def test_inputs_come_and_go(step: Any) -> None:
    page = step("neuron")
    page.get_by_role("link", name="+ input").click()
    expect(page.locator(".dial:not(.dial-head)")).to_have_count(5)
    expect(page.locator("#c-inputs")).to_have_value("1, 2, 3, 2.5, 1.0")
    page.get_by_role("link", name="Take input 1 away").click()
    expect(page.locator(".dial:not(.dial-head)")).to_have_count(4)
    assert page.locator("#d-inputs-0").input_value() == "2"
    assert [t["input"] for t in api(page)["terms"]] == [2, 3, 2.5, 1]


def test_a_cell_of_the_layer_lights_its_row_and_column(step: Any) -> None:
    page = step("layer")
    page.locator("#y-3").hover()  # row 1, column 1
    hot = page.eval_on_selector_all(".hot", "els => els.map(e => e.dataset.cell)")
    assert sorted(hot) == ["b:1", "w:3", "w:4", "w:5", "wt:1", "wt:3", "wt:5", "x:3", "x:4", "x:5"]
    expect(page.locator("#spelled")).to_contain_text("y[1, 1] = ")
    page.mouse.move(0, 0)
    expect(page.locator("#spelled")).to_contain_text("y[0, 0] = ")
    assert page.locator(".hot").count() == 0
    page.locator("#y-0").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#y-3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#y-3")).to_have_attribute("aria-current", "true")
    assert query_of(page)["cell"] == ["1,1"]
    assert api(page)["cell"]["text"] == page.locator("#spelled").text_content()
    page.reload()
    assert page.locator(".of-x .lit").count() == 3
    expect(page.locator("#y-3")).to_have_attribute("aria-current", "true")


def test_one_stop_for_the_tab_key_in_a_result(step: Any) -> None:
    page = step("layer", "batch_size=6&n_neurons=6")
    assert page.locator(".cells a[tabindex='0']").count() == 1
    assert page.locator(".cells a[tabindex='-1']").count() == 35


def test_an_operator_is_a_key_and_a_mismatch_names_its_axis(step: Any) -> None:
    page = step("elementwise")
    page.get_by_role("radio", name=">").check()
    expect(page.locator(".of-y")).to_contain_text("bool")
    assert page.locator(".of-y .cell-link").all_text_contents() == ["True", "False", "False"]
    page.locator("#c-b").fill("[[1], [2]]")
    expect(page.locator(".of-y .cell-link")).to_have_count(6)
    page.locator("#c-b").fill("[1, 2]")
    expect(page.locator("#result")).to_contain_text("axis 0 fails: a has 3, b has 2")
    expect(page.locator(".align .clash")).to_have_count(3)
    assert api(page)["result"] is None
    page.get_by_role("link", name="a + b").click()
    expect(page.get_by_role("radio", name="+")).to_be_checked()
    expect(page.locator("#c-b")).to_have_value("[2., 8, 7]")


def test_axes_are_buttons_and_colours_follow(step: Any) -> None:
    page = step("reductions")
    assert groups(page) == ["g0", "g1", "g2", "g0", "g1", "g2"]
    page.get_by_role("link", name="1: 3, fold this axis as well").click()
    expect(page.locator("#result")).to_contain_text("x.sum(dim=(0, 1))")
    assert groups(page) == ["g0"] * 6
    expect(page.locator("#result")).to_contain_text("21")
    page.locator("#c-axes").fill("-1")
    expect(page.locator("#result")).to_contain_text("x.sum(dim=-1)")
    assert groups(page) == ["g0"] * 3 + ["g1"] * 3
    page.get_by_role("switch").check()
    expect(page.locator("#result")).to_contain_text("keepdim=True")
    assert api(page)["result"]["shape"] == [2, 1]


def groups(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "[data-cell^='x:']", "els => els.map(e => [...e.classList].find(c => /^g\\d$/.test(c)))"
    )
    return found


def test_an_index_stretches_the_other_axis(step: Any) -> None:
    page = step("broadcasting")
    assert page.locator(".slot.missing").count() == 1
    page.locator("#c-a_index").fill("[:, None]")
    expect(page.locator(".slot.stretched:not(.missing)")).to_have_count(1)
    assert page.locator(".ghosts").first.locator("td").all_text_contents() == list("000111222")
    page.locator("#c-b").fill("2, 3")
    expect(page.locator("#result")).to_contain_text("axis 0 fails")
    assert api(page)["failed_axis"] == 0
    page.get_by_role("link", name="Four operands").click()
    expect(page.locator("#result")).to_contain_text("(8, 7, 6, 5)")
    assert page.locator(".align tbody tr").count() == 5


def test_a_derivative_opens_from_its_picture(step: Any) -> None:
    page = step("derivatives")
    assert page.locator(".small-multiples a").count() == len(api(page)["functions"])
    page.get_by_role("link", name="hardswish").click()
    expect(page.locator("#one-title")).to_have_text("hardswish")
    assert page.locator("math").count() == 2
    assert page.locator("math").first.bounding_box()["width"] > 60
    assert page.locator("#c-name").input_value() == "hardswish"
    assert [k["x"] for k in api(page)["chosen"]["kinks"]] == [-3, 3]
    expect(page.locator(".mark.chosen")).to_have_count(2)
    page.locator("#c-name").select_option("mse")
    expect(page.locator("#one-title")).to_have_text("mse")
    assert query_of(page)["name"] == ["mse"]


@pytest.mark.parametrize("slug", SLUGS)
def test_every_page_has_pixels_and_no_wider_than_a_phone(step: Any, slug: str) -> None:
    page = step(slug, STATES[slug])
    assert coloured(page, page.locator("#result").screenshot()) > 0.004
    for drawing in page.locator("#result svg").all()[:6]:
        assert coloured(page, drawing.screenshot()) > 0.002, drawing.get_attribute("class")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1920, "height": 1080})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1920


def coloured(page: Page, png: bytes) -> float:
    """Share of the pixels that are no shade of grey."""
    share: float = page.evaluate(
        """async (bytes) => {
          const blob = new Blob([new Uint8Array(bytes)], {type: "image/png"});
          const bitmap = await createImageBitmap(blob);
          const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
          context.drawImage(bitmap, 0, 0);
          const {data} = context.getImageData(0, 0, bitmap.width, bitmap.height);
          let found = 0;
          for (let i = 0; i < data.length; i += 4) {
            const [red, green, blue] = data.slice(i, i + 3);
            if (Math.max(red, green, blue) - Math.min(red, green, blue) > 24) found++;
          }
          return found / (data.length / 4);
        }""",
        list(png),
    )
    return share


@pytest.mark.parametrize("slug", SLUGS)
def test_without_javascript_the_form_is_a_plain_get(browser: Browser, url: str, slug: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/foundations/{slug}?{STATES[slug]}")
    before = page.locator("#result").inner_text()
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile(r"\?.*="))
    assert page.locator("#result").inner_text() == before
    context.close()


@pytest.mark.parametrize("slug", [*SLUGS, "neuron?bias=x", "reductions?x=[]", "layer?cell=0,1", ""])
def test_axe_finds_nothing(blank: Page, url: str, slug: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    query = f"?{STATES[slug]}" if slug in STATES else ""
    blank.goto(f"{url}/foundations{'/' if slug else ''}{slug}{query}")
    assert inaccessible(blank) == []


DRAG = """async ([slider, shown, values]) => {
  const hand = document.querySelector(slider);
  const seen = new Set();
  const look = () => seen.add(document.querySelector(shown)?.textContent);
  new MutationObserver(look).observe(document.querySelector("main"),
    { subtree: true, childList: true, characterData: true });
  hand.focus();
  for (const value of values) {
    hand.value = value;
    hand.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise(requestAnimationFrame);
  }
  return seen.size;
}"""


def test_the_result_follows_a_slider_that_does_not_rest(step: Any) -> None:
    """Inputs come quicker than answers: some are drawn all the same, and the last one exactly."""
    page = step("neuron")
    values = [round(-2 + 4 * i / 240, 3) for i in range(240)] + [1.5]
    drawn = page.evaluate(DRAG, ["#s-bias", "output", values])
    assert drawn >= 5
    expect(page.locator("output").first).to_have_text("0.2 + 1.6 - 1.5 + 2.5 + 1.5 = 4.3")
    assert query_of(page)["bias"] == ["1.5"]


def test_what_is_typed_while_an_answer_is_awaited_stays(step: Any) -> None:
    page = step("neuron")
    held: list[Any] = []
    page.route(
        "**/foundations/neuron?*",
        lambda route: route.continue_() if held else held.append(route),
    )
    with page.expect_request("**/foundations/neuron?*"):
        page.locator("#c-bias").fill("2")
    page.locator("#c-bias").fill("3")
    page.locator("#d-weights-0").fill("7")
    held[0].continue_()
    expect(page.locator("output").first).to_have_text("7 + 1.6 - 1.5 + 2.5 + 3 = 12.6")
    assert page.locator("#c-bias").input_value() == "3"
    assert page.locator("#c-weights").input_value() == "7, 0.8, -0.5, 1.0"
