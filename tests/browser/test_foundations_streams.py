"""The matmul race and the init schemes in real Chromium: streams that fill, stop and restart."""

from __future__ import annotations

import json
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Page, expect

from layerscope.engine.foundations.matmul import MATMULS, fit_power_law
from layerscope.engine.layers.initialization import INITS
from tests.browser.serving import inaccessible, until

pytestmark = pytest.mark.browser

QUICK = urlencode(
    {"m": 4, "k": 9, "n": 3, "time_limit": 0.02, "variants": "loops,einsum,matmul",
     "largest": 16, "point_limit": 0.01}
)  # fmt: skip
SLOW = urlencode(
    {"m": 400, "k": 400, "n": 400, "time_limit": 5, "variants": "loops,elementwise,matmul",
     "largest": 4}
)  # fmt: skip
IDLE = "document.querySelector('#growth-progress').hasAttribute('data-idle')"


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def cell(page: Page, variant: str, name: str) -> str:
    found = page.locator(f'#race-table [data-variant="{variant}"] [data-cell="{name}"]')
    return found.text_content() or ""


def shown_fit(page: Page, variant: str) -> tuple[str, list[float]]:
    """The exponent's cell, and the ends of the fitted line as drawn."""
    said = page.locator(f'[data-fit="{variant}"] [data-cell="exponent"]').text_content()
    place = list(MATMULS).index(variant) + len(MATMULS)
    trace = f"document.querySelector('#growth-chart .plot').data[{place}]"
    ends = page.evaluate(f"{trace}.visible === false ? [] : Array.from({trace}.y)")
    return said or "", ends


def expected_fit(page: Page, variant: str) -> tuple[str, list[float]]:
    """The same, of the points that are drawn; a power law or the words that there is none."""
    place, cell = list(MATMULS).index(variant), f'[data-fit="{variant}"] [data-cell="sizes"]'
    trace = f"document.querySelector('#growth-chart .plot').data[{place}]"
    points = page.evaluate(f"Array.from({trace}.x).map((n, i) => [n, {trace}.y[i]])")
    smallest = (page.locator(cell).text_content() or "").split("–")[0]
    fit = fit_power_law([(n, t) for n, t in points if smallest and n >= int(smallest)])
    return (fit.says, [end["seconds"] for end in fit.line]) if fit else ("–", [])


def test_the_race_fills_its_table_and_both_charts(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/matmul?{QUICK}")
    expect(blank.locator("#race-says")).to_contain_text("wins")
    for variant in ("loops", "einsum", "matmul"):
        assert cell(blank, variant, "seconds").split()[-1] in ("ns", "µs", "ms")
        assert cell(blank, variant, "speedup").endswith("×")
    bars = blank.evaluate("document.querySelector('#race-chart .plot').data[0].x.length")
    assert bars == 3
    expect(blank.locator("#growth-says")).to_contain_text("At n = 16")
    until(
        blank,
        "document.querySelector('#growth-chart .plot').data.filter(t => t.visible !== false"
        " && t.mode === 'markers').map(t => t.x.length).join() === '5,5,5'",
    )
    said, ends = expected_fit(blank, "loops")
    assert shown_fit(blank, "loops") == (said, pytest.approx(ends))
    assert query_of(blank)["m"] == ["4"]
    assert inaccessible(blank) == []


def test_a_change_runs_another_race_and_the_link_restores_it(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/matmul?{QUICK}")
    until(blank, IDLE)
    blank.locator("#c-k").fill("20")
    expect(blank.locator("#race-about")).to_contain_text("4×20 @ 20×3")
    expect(blank.locator("#race-says")).to_contain_text("wins")
    assert query_of(blank)["k"] == ["20"]
    blank.reload()
    expect(blank.locator("#race-about")).to_contain_text("4×20 @ 20×3")
    expect(blank.locator("#race-says")).to_contain_text("wins")
    blank.locator("#c-variants").fill("matmul,numpy")
    blank.wait_for_url("**variants=matmul%2Cnumpy**")
    expect(blank.locator("#race-table tbody tr")).to_have_count(2)
    expect(blank.locator("#race-says")).to_contain_text("wins")


def test_cancel_stops_the_race_on_the_server_too(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/matmul?{SLOW}")
    expect(blank.locator("[data-running]")).to_have_attribute("data-variant", "loops")
    blank.get_by_role("button", name="Cancel").first.click()
    expect(blank.locator("#race-says")).to_have_text("Cancelled after 0 of 3.")
    expect(blank.locator("#cancel")).to_be_hidden()
    # The track is free again at once: another race needs not wait for the five seconds' end.
    address = f"{url}/api/v1/foundations/matmul?{QUICK}"
    with urllib.request.urlopen(address, timeout=4) as answer:  # noqa: S310 - our own server
        assert json.load(answer)["ranking"]


def test_a_second_tab_waits_for_the_first(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/matmul?{SLOW}")
    expect(blank.locator("[data-running]")).to_be_visible()
    other = blank.context.new_page()
    other.goto(f"{url}/foundations/matmul?{QUICK}")
    expect(other.locator("#race-says")).to_contain_text("Waiting: another race is running")
    blank.get_by_role("button", name="Cancel").first.click()
    expect(other.locator("#race-says")).to_contain_text("wins")
    until(other, IDLE)
    other.close()


def test_a_refusal_keeps_the_race_and_what_was_typed(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    blank.goto(f"{url}/foundations/matmul?{QUICK}")
    until(blank, IDLE)
    blank.locator("#c-n").fill("many")
    expect(blank.locator("#n-error")).to_contain_text("expected a whole number from 1 to 4096")
    expect(blank.locator("#c-n")).to_have_value("many")
    expect(blank.locator("#c-n")).to_be_focused()
    assert cell(blank, "matmul", "seconds") != "–"
    blank.locator("#c-n").fill("5")
    expect(blank.locator("#race-about")).to_contain_text("9×5")
    expect(blank.locator("#n-error")).to_have_text("")
    until(blank, IDLE)


def test_a_refused_link_works_again_when_it_is_put_right(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    blank.goto(f"{url}/foundations/matmul?{QUICK}&seed=x")
    expect(blank.locator("#seed-error")).to_contain_text("expected a whole number")
    assert inaccessible(blank) == []
    blank.locator("#c-seed").fill("3")
    expect(blank.locator("#race-says")).to_contain_text("wins")
    until(blank, IDLE)


def test_schemes_are_replaced_one_by_one_and_the_link_restores(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/schemes?depth=10&width=30&batch=40")
    panels = blank.locator(".scheme")
    expect(panels).to_have_count(len(INITS))
    expect(blank.locator("#holding")).to_contain_text("hold the signal")
    before = blank.locator("#scheme-normal .signal").get_attribute("d")
    blank.locator("#c-init_scale").fill("0.1")
    expect(blank.locator(".scheme.fresh")).to_have_count(len(INITS))
    expect(blank.locator("#schemes")).not_to_have_attribute("aria-busy", "true")
    after = blank.locator("#scheme-normal .signal").get_attribute("d")
    assert after != before
    expect(blank.locator("#c-init_scale")).to_be_focused()
    assert query_of(blank)["init_scale"] == ["0.1"]
    assert inaccessible(blank) == []
    said = blank.locator("#holding").text_content()
    blank.reload()
    expect(panels).to_have_count(len(INITS))
    assert blank.locator("#scheme-normal .signal").get_attribute("d") == after
    expect(blank.locator("#holding")).to_have_text(said or "")


def test_a_slider_by_keyboard_ends_with_its_last_value(blank: Page, url: str) -> None:
    blank.goto(f"{url}/foundations/schemes?depth=5&width=20&batch=10")
    blank.locator("#s-depth").focus()
    for _ in range(12):
        blank.keyboard.press("ArrowRight")
    expect(blank.locator("#c-depth")).to_have_value("17")
    until(blank, "new URLSearchParams(location.search).get('depth') === '17'")
    expect(blank.locator("#schemes")).not_to_have_attribute("aria-busy", "true")
    expect(blank.locator("#scheme-zeros svg").nth(1).locator("text").last).to_have_text("17")


def test_schemes_refuse_beside_the_control(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    blank.goto(f"{url}/foundations/schemes?depth=3&width=10&batch=5")
    blank.locator("#c-width").fill("wide")
    expect(blank.locator("#width-error")).to_contain_text("expected a whole number")
    expect(blank.locator(".scheme")).to_have_count(len(INITS))
    blank.goto(f"{url}/foundations/schemes?width=wide")
    assert inaccessible(blank) == []
    blank.locator("#c-width").fill("12")
    expect(blank.locator(".scheme")).to_have_count(len(INITS))
