"""Findings and fixes in the Lab, in real Chromium: what they say, and what their links do."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import STD, api, cold, drawn, ends, idle, settle, stds
from tests.browser.serving import inaccessible, until

pytestmark = pytest.mark.browser

NAN = "init=normal&activation=linear"
GHOST = "document.querySelector('#chart-activations .plot').data[0].y"
GROWING = "init_scale=1.6&depth=25&width=40&batch=50"
FIX = "Try init scale 0.1 ✓"


def test_a_fix_draws_before_and_after_together(page: Page, url: str) -> None:
    page.locator(".presets a", has_text="randn × 1: NaN").click()
    settle(page, "overflow")
    link = page.locator("#verdict .fixes a")
    expect(link).to_contain_text(FIX)
    expect(link.locator("svg")).to_have_count(2)
    link.click()
    expect(page.locator("#c-init_scale")).to_have_value("0.1")
    settle(page, "hold")
    until(page, f"{GHOST}.length === 51")
    assert drawn(page, GHOST) == stds(api(url, NAN))
    assert drawn(page, STD) == stds(api(url, f"{NAN}&init_scale=0.1"))
    expect(page.locator("#compare tbody tr").first).to_contain_text("init scale10.1")
    expect(page.locator("#verdict .fixes a")).to_have_count(0)


def test_back_from_a_fix_is_the_experiment_without_a_pin(blank: Page, url: str) -> None:
    cold(blank, url, NAN)
    blank.locator("#verdict .fixes a").click()
    blank.wait_for_url("**init_scale=0.1**pin=**")
    settle(blank, "hold")
    blank.go_back()
    settle(blank, "overflow")
    expect(blank.locator("#compare")).to_be_hidden()
    assert "pin" not in blank.url
    assert drawn(blank, STD) == stds(api(url, NAN))


def test_without_javascript_a_fix_is_a_link(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/?{NAN}")
    link = page.locator(".verdict .fixes a")  # at the page's end where it took longer
    expect(link).to_contain_text(FIX)
    target = urlsplit(str(link.get_attribute("href")))
    assert parse_qs(unquote(target.fragment.removeprefix("pin="))) == parse_qs(NAN)
    link.click()
    expect(page.locator("#verdict h2")).to_contain_text("hold")
    expect(page.locator("#c-init_scale")).to_have_value("0.1")
    context.close()


def test_a_fix_opened_elsewhere_still_has_its_ghost(blank: Page, url: str) -> None:
    cold(blank, url, NAN)
    href = blank.locator("#verdict .fixes a").get_attribute("href")
    blank.goto("about:blank")
    cold(blank, url, str(href).removeprefix("/?"))
    until(blank, f"{GHOST}.length === 51")
    assert drawn(blank, GHOST) == stds(api(url, NAN))


@pytest.mark.parametrize(
    "query",
    [NAN, f"{NAN}&init_scale=0.01&depth=40&width=25&batch=50", GROWING,
     "init=zeros&depth=10", "batch=1&depth=2",
     "dtype=float16&init_scale=1.4&depth=40"],
)  # fmt: skip
def test_scripts_write_what_the_server_writes(blank: Page, url: str, query: str) -> None:
    """The verdict as served, and as made from the event stream of the same experiment."""
    parts = ("h2", ".words p", ".fixes", ".findings")
    html = """selectors => selectors.map(s => (document.querySelector(`#verdict ${s}`)?.outerHTML
                ?? "").replace(/>\\s+</g, "><").replace(/ data-(fix|stale)=""/g, " data-$1"))"""
    cold(blank, url, query)
    served = blank.evaluate(html, parts)
    blank.locator("#c-seed").fill("1")
    idle(blank)
    blank.locator("#c-seed").fill("0")
    idle(blank)
    made = blank.evaluate(html, parts)
    assert [normal(m) for m in made] == [normal(s) for s in served]


def normal(html: str) -> str:
    """The same text for the same addresses, whatever the order of their parameters."""

    def query(found: re.Match[str]) -> str:
        return "?" + "&".join(sorted(found[1].replace("&amp;", "&").split("&")))

    def pin(found: re.Match[str]) -> str:
        return "#pin=" + "&".join(sorted(unquote(found[1]).split("&")))

    return re.sub(r"#pin=([^\"]*)", pin, re.sub(r"\?([^\"#]*)", query, html))


def test_a_finding_leads_to_its_layer_and_chart(blank: Page, url: str) -> None:
    cold(blank, url, GROWING)
    blank.set_viewport_size({"width": 1440, "height": 500})
    blank.locator("#verdict .findings summary").click()
    gradients = blank.locator(".finding", has_text="Gradients grow").last
    link = gradients.locator("[data-layer]")
    finding = next(
        c for f in api(url, GROWING)["findings"] for c in f["consequences"]
        if c["rule"] == "exploding_gradient"
    )  # fmt: skip
    last = finding["blocks"][1]  # going back, that is where it begins
    chart = blank.locator("#chart-gradients")
    link.click()
    expect(chart).to_have_class(re.compile("pointed"))
    expect(blank.locator(f"#block-{last}")).to_have_attribute("aria-selected", "true")
    expect(blank.locator("#inspector h2")).to_have_text(f"Layer {last}")
    expect(chart).to_be_in_viewport(ratio=0.9)
    expect(chart).not_to_have_class(re.compile("pointed"))
    rule = gradients.locator("a", has_text="exploding_gradient")
    assert str(rule.get_attribute("href")).endswith("/why/diagnosis#rule-exploding_gradient")


def test_evidence_stands_beside_its_threshold(blank: Page, url: str) -> None:
    cold(blank, url, GROWING)
    blank.locator("#verdict .findings summary").click()
    row = blank.locator(".evidence tr", has_text="decades").first.locator("td")
    decades = api(url, GROWING)["findings"][0]["evidence"]["decades"]
    assert float(row.first.inner_text()) == pytest.approx(decades, rel=5e-3)
    assert row.last.inner_text() == "warning 2, error grow 3, error shrink 4"


def test_what_could_not_be_judged_is_said(blank: Page, url: str) -> None:
    cold(blank, url, "batch=1&depth=9")
    undecided = api(url, "batch=1&depth=9")["undecided"]
    assert undecided
    blank.locator("#verdict .findings summary").click()
    for entry in undecided:
        words = f"{entry['rule']} ({entry['reason']})"
        expect(blank.locator("#verdict .undecided")).to_contain_text(words)


def test_a_nan_is_announced_when_it_happens(page: Page) -> None:
    """On a network that takes long: before its summary, and thus before its last layers."""
    page.evaluate(
        """() => {
          window.told = [];
          const note = () => {
            const title = document.querySelector("#verdict h2").textContent;
            const busy = document.querySelector(".bench").ariaBusy;
            if (title.includes("overflow")) window.told.push(busy);
          };
          new MutationObserver(note).observe(document.querySelector("#verdict"),
            {subtree: true, childList: true, characterData: true});
          const fill = (name, value) => document.querySelector(`[name=${name}]`).value = value;
          fill("init", "normal"); fill("activation", "linear"); fill("depth", "1000");
          fill("batch", "2000");
          document.querySelector("#experiment").dispatchEvent(new Event("input", {bubbles: true}));
        }"""
    )
    until(page, "window.told.length")
    assert page.evaluate("window.told[0]") == "true"
    assert page.evaluate("document.querySelectorAll('#strip .cell.s-none').length") > 0
    page.locator("#c-depth").fill("3")  # stops it
    idle(page)


def test_other_pages_show_the_same_experiment(page: Page) -> None:
    page.locator("#c-init_scale").fill("1.1")
    idle(page)
    for name, path in (("Why?", "/why/phase"), ("Precision", "/why/precision")):
        link = page.locator("#verdict").get_by_role("link", name=name)
        assert str(link.get_attribute("href")).endswith(f"{path}?init_scale=1.1")


@pytest.mark.parametrize(
    ("query", "forward", "backward"),
    [
        (NAN, "theory: float32, bfloat16 overflow at layer 38; float16 overflows at layer 5", ""),
        ("init_scale=1.3", "float16 overflows at layer 37; float32, bfloat16 hold, to overflow",
         "float16 overflows at layer 37; float32, bfloat16 hold"),
        (f"{NAN}&init_scale=0.01", "float32 turns subnormal at layer 38, vanishes at 46", ""),
        ("init=identity&norm=layer", "no theory for this setting", "no theory for this setting"),
    ],
)  # fmt: skip
def test_the_forecast_is_told_in_words(
    blank: Page, url: str, query: str, forward: str, backward: str
) -> None:
    cold(blank, url, query)
    expect(blank.locator("#chart-activations .forecast")).to_contain_text(forward)
    expect(blank.locator("#chart-gradients .forecast")).to_contain_text(backward)


def test_the_table_follows_the_experiment(page: Page, url: str) -> None:
    page.locator(".layers summary").click()
    page.locator("#c-depth").fill("4")
    idle(page)
    expect(page.locator("#layers tbody tr")).to_have_count(9)
    first: dict[str, Any] = api(url, "depth=4")["layers"][0]
    shown = page.locator("#layers tbody tr").first.locator("td").all_inner_texts()
    assert float(shown[2]) == pytest.approx(first["activation"]["std"], rel=5e-3)


def test_a_control_in_focus_is_not_under_the_slider(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    bar = "document.querySelector('[data-control=init_scale]').getBoundingClientRect().top"
    for name in ("depth", "batch", "seed", "loss"):
        page.locator(f"#c-{name}").focus()
        until(page, f"document.activeElement.getBoundingClientRect().bottom <= {bar}")


def test_charts_below_the_fold_are_drawn_when_scrolled_to(blank: Page, url: str) -> None:
    blank.set_viewport_size({"width": 390, "height": 844})
    blank.goto(f"{url}/?depth=30")
    blank.locator("#chart-activations").scroll_into_view_if_needed()
    until(blank, "document.querySelector('#chart-activations .main-svg')")
    silent = blank.locator("#chart-silent")
    expect(silent.locator(".main-svg")).to_have_count(0)
    silent.scroll_into_view_if_needed()
    expect(silent.locator(".main-svg").first).to_be_visible()
    dead = [e["units"]["dead"] / e["units"]["width"] for e in ends(api(url, "depth=30"))]
    assert drawn(blank, "document.querySelector('#chart-silent .plot').data[1].y") == dead
    assert silent.bounding_box()["width"] <= 390  # type: ignore[index]


def test_axe_finds_nothing_in_open_findings(blank: Page, url: str) -> None:
    cold(blank, url, GROWING)
    blank.locator("#verdict .findings summary").click()
    assert inaccessible(blank, "#verdict") == []
