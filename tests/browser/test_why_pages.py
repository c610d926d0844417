"""The pages under /why in real Chromium: drag, keys, forms, links, pixels, phones, axe."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import inaccessible, until

pytestmark = pytest.mark.browser

TANH = "activation=tanh&init=lecun_normal&init_scale=1.2&bias_std=0.1"
SMALL = "depth=10&width=30&batch=40"
PATHS = ("phase", "spectrum", "precision", "diagnosis")


def api(url: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/api/v1/why/{path}") as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def centre(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_dragging_the_point_runs_it_in_the_lab(blank: Page, url: str) -> None:
    blank.goto(f"{url}/why/phase?{TANH}&depth=7&width=20&batch=20")
    x, y = centre(blank, "#handle .ring")
    blank.mouse.move(x, y)
    blank.mouse.down()
    blank.mouse.move(x + 80, y - 60, steps=5)
    expect(blank.locator("#plane-readout")).to_contain_text("χ₁ ≈")
    expect(blank.locator("#plane-readout")).to_contain_text("from σw 1.20, σb 0.100: ordered")
    expect(blank.locator("#verdict-title")).to_have_text(
        re.compile(
            r"^Chaotic: .* Trainable to about [\d.]+ layers, (less than|enough for) these 7\.$"
        )
    )
    said = blank.locator("#handle").get_attribute("aria-valuenow")
    blank.mouse.up()
    blank.wait_for_url("**/?*")
    query = parse_qs(urlsplit(blank.url).query)
    assert query["init_scale"] == [said]
    assert float(query["init_scale"][0]) > 1.2
    assert float(query["bias_std"][0]) > 0.1
    assert (query["activation"], query["depth"], query["width"]) == (["tanh"], ["7"], ["20"])
    expect(blank.locator("#c-init_scale")).to_have_value(query["init_scale"][0])


def test_a_finger_drags_the_point(browser: Any, url: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{url}/why/phase?{TANH}&{SMALL}")
    x, y = centre(page, "#handle .ring")
    session = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        session.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]},
        )

    touch("touchStart", (x, y))
    touch("touchMove", (x + 20, y - 15))
    touch("touchMove", (x + 40, y - 30))
    touch("touchEnd")
    page.wait_for_url("**/?*")
    query = parse_qs(urlsplit(page.url).query)
    assert float(query["init_scale"][0]) > 1.2
    context.close()


def test_arrow_keys_move_the_point_and_enter_runs_it(blank: Page, url: str) -> None:
    blank.goto(f"{url}/why/phase?{SMALL}")
    handle = blank.locator("#handle")
    handle.focus()
    blank.keyboard.press("ArrowRight")
    blank.keyboard.press("Shift+ArrowUp")
    expect(blank.locator("#c-init")).to_have_value("lecun_normal")
    expect(blank.locator("#c-bias_std")).to_have_value("0.15")
    scale = float(blank.locator("#c-init_scale").input_value())
    assert scale == pytest.approx(2**0.5 + 0.03, abs=0.006)
    # The answer that comes back has drawn the point there, and the focus is still on it.
    expect(blank.locator("#verdict-title")).to_contain_text("Chaotic")
    until(blank, "document.activeElement.id === 'handle'")
    blank.keyboard.press("Enter")
    blank.wait_for_url("**/?*init=lecun_normal*")
    assert parse_qs(urlsplit(blank.url).query)["bias_std"] == ["0.15"]


def test_the_form_updates_picture_address_and_links(blank: Page, url: str) -> None:
    blank.goto(f"{url}/why/precision?{SMALL}")
    blank.locator("#c-init_scale").fill("0.01")
    expect(blank.locator("#verdict-title")).to_contain_text("would lose more than 1 %")
    until(blank, "location.search.includes('init_scale=0.01')")
    expect(blank.locator("[data-lab]").first).to_have_attribute(
        "href", "/?init_scale=0.01&depth=10&width=30&batch=40"
    )
    blank.get_by_role("link", name="Spectrum").click()
    blank.wait_for_url("**/why/spectrum?*init_scale=0.01*")
    expect(blank.locator("#c-init_scale")).to_have_value("0.01")


def test_a_bad_value_is_told_beside_its_control(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    blank.goto(f"{url}/why/spectrum?{SMALL}")
    blank.locator("#c-depth").fill("5000")
    expect(blank.locator("#depth-error")).to_contain_text("expected a whole number from 1 to 1000")
    blank.locator("#c-depth").fill("3")
    expect(blank.locator("#depth-error")).to_have_text("")
    expect(blank.locator("#verdict-title")).to_contain_text("after 3 layers")


def test_the_drawn_edge_is_that_of_the_api(blank: Page, url: str) -> None:
    blank.goto(f"{url}/why/phase?{TANH}")
    found = api(url, f"phase?{TANH}")
    drawn = blank.evaluate(
        """() => {
          const data = JSON.parse(document.getElementById('phase').textContent);
          const [left, top, right, bottom] = data.box;
          const [farW, farB] = data.far;
          const path = document.querySelector('path.edge:not(.halo):not(.passed)');
          const end = path.getPointAtLength(path.getTotalLength());
          return [(end.x - left) / (right - left) * farW, (bottom - end.y) / (bottom - top) * farB];
        }"""
    )
    last = found["critical"][-1]
    assert drawn == pytest.approx([last["sigma_w"], last["sigma_b"]], abs=0.01)


def test_drawings_have_colour(blank: Page, url: str) -> None:
    for path, hue in (
        ("phase", "path.q0"),
        ("spectrum", ".line.gaussian"),
        ("precision", ".violin.forward"),
    ):
        blank.goto(f"{url}/why/{path}?{SMALL}")
        colour = blank.evaluate(
            """selector => { const style = getComputedStyle(document.querySelector(selector));
              return style.fill === 'none' ? style.stroke : style.fill; }""",
            hue,
        )
        assert colour not in ("none", "rgb(0, 0, 0)")


def test_without_javascript_everything_is_there(browser: Any, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/why/precision?{SMALL}")
    expect(page.locator(".violin").first).to_be_visible()
    page.locator("#c-depth").fill("4")
    page.get_by_role("button", name="Show").click()
    assert "depth=4" in page.url
    page.goto(f"{url}/why/phase?{SMALL}")
    expect(page.locator("#handle .ring")).to_be_visible()
    context.close()


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_wider_than_a_phone_or_lost_on_a_wall(blank: Page, url: str, path: str) -> None:
    for width in (390, 1920):
        blank.set_viewport_size({"width": width, "height": 844})
        blank.goto(f"{url}/why/{path}" + (f"?{SMALL}" if path != "diagnosis" else ""))
        assert blank.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "path", [f"phase?{TANH}", f"spectrum?{TANH}&{SMALL}", "precision?init=normal&activation=linear",
             f"precision?{SMALL}&init_scale=0.01", "diagnosis"],
)  # fmt: skip
def test_axe_finds_nothing(blank: Page, url: str, path: str) -> None:
    blank.goto(f"{url}/why/{path}")
    blank.wait_for_load_state("networkidle")
    assert inaccessible(blank) == []


def test_many_arrow_keys_before_the_first_answer_are_all_counted(blank: Page, url: str) -> None:
    blank.goto(f"{url}/why/phase?{SMALL}&init=lecun_normal&bias_std=0")
    blank.locator("#handle").focus()
    step = blank.evaluate("JSON.parse(document.querySelector('#phase').textContent).far[1] / 100")
    for _ in range(20):
        blank.keyboard.press("ArrowUp")
    expect(blank.locator("#c-bias_std")).to_have_value(f"{20 * step:.3g}")
    until(blank, "!document.querySelector('.why-form').classList.contains('htmx-request')")
    expect(blank.locator("#handle")).to_be_focused()
    blank.keyboard.press("ArrowUp")
    expect(blank.locator("#c-bias_std")).to_have_value(f"{21 * step:.3g}")


def test_the_picture_follows_a_slider_that_does_not_rest(blank: Page, url: str) -> None:
    blank.goto(f"{url}/why/phase?{SMALL}")
    drawn = blank.evaluate(
        """async () => {
          const hand = document.querySelector("#experiment input[type=range]");
          const seen = new Set();
          const result = () => document.querySelector("#result");
          const began = result();
          for (let i = 0; i < 200; i++) {
            hand.value = Number(hand.min) + ((hand.max - hand.min) * i) / 200;
            hand.dispatchEvent(new Event("input", { bubbles: true }));
            await new Promise(requestAnimationFrame);
            seen.add(result());
          }
          return seen.size - seen.has(began);
        }"""
    )
    assert drawn >= 2
