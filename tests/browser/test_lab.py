"""The Lab in real Chromium: numbers, pixels, history, keyboard, console, network."""

from __future__ import annotations

import io
import re
import urllib.request
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import AWAIT, GRADIENT, HEAT, STD, api, cold, ends, idle, settle, stds
from tests.browser.serving import inaccessible, until

pytestmark = pytest.mark.browser

SMALL = "depth=20&width=40&batch=50"  # a verdict of errors tries trainings of the network


def test_cold_page_draws_the_numbers_of_the_api(page: Page, url: str) -> None:
    result = api(url)
    assert page.evaluate(STD) == stds(result)
    assert page.evaluate(GRADIENT) == stds(result, "gradient")
    shares = np.array(page.evaluate(HEAT), float)
    first = ends(result)[0]["activation"]
    assert np.nansum(shares[:, 0]) == pytest.approx(1 - first["zeros"] / first["count"])


def test_theory_is_drawn_as_the_api_has_it(page: Page, url: str) -> None:
    result = api(url)
    predicted = {layer["index"]: layer["activation"] for layer in result["theory"]["layers"]}
    traces = "document.querySelector('#chart-activations .plot').data"
    last = [layer["index"] for layer in ends(result)]
    until(page, f"{traces}[2].y.length")
    assert page.evaluate(f"{traces}[2].y") == [predicted[i]["std"] for i in last]
    within = [i for i in last if predicted[i]["low"] is not None]
    assert within == last[:-1]  # of one output's std over the samples theory knows no band
    there_and_back = [predicted[i]["high"] for i in within] + [
        predicted[i]["low"] for i in within[::-1]
    ]
    assert page.evaluate(f"{traces}[1].y") == there_and_back
    expect(page.locator("#theory")).to_contain_text("σw² = 2.00")


def test_streamed_cells_equal_those_that_the_page_makes(blank: Page, url: str) -> None:
    with urllib.request.urlopen(f"{url}/?init=normal&activation=linear&init_scale=0.3") as answer:  # noqa: S310
        html = answer.read().decode()
    blank.goto(f"{url}/?init=normal&activation=linear&init_scale=0.3")
    made = blank.eval_on_selector_all(
        "#strip li", "pairs => pairs.map(p => [...p.children].map(c => c.className))"
    )
    served = blank.evaluate(
        """html => [...new DOMParser().parseFromString(html, "text/html")
             .querySelectorAll(".strip-static ol")]
             .map(row => [...row.children].map(c => c.className.trim()))""",
        re.sub("<style.*?</style>|<script.*?</script>|<link.*?>", "", html, flags=re.DOTALL),
    )
    assert [pair[0] for pair in made] == served[0]
    assert [pair[1] for pair in made] == served[1][::-1]  # gradients come last to first


def test_a_fast_drag_ends_on_the_last_setting(blank: Page, url: str) -> None:
    page = blank
    cold(page, url, SMALL)
    slider = page.locator("[data-for=c-init_scale]")
    box = slider.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.75, y)
    page.mouse.down()
    for i in range(40):
        page.mouse.move(box["x"] + box["width"] * (0.75 - 0.005 * i), y)
    page.mouse.up()
    scale = page.locator("#c-init_scale").input_value()
    idle(page)
    assert page.evaluate(STD) == stds(api(url, f"{SMALL}&init_scale={scale}"))
    assert parse_qs(urlsplit(page.url).query)["init_scale"] == [scale]


def test_back_returns_to_the_setting_before_a_drag(page: Page, url: str) -> None:
    before = page.evaluate("history.length")
    slider = page.locator("[data-for=c-init_scale]")
    slider.focus()
    done = page.evaluate_handle(f"() => ({{drawn: ({AWAIT})(0.977)}})")
    page.keyboard.press("ArrowLeft")
    page.evaluate("handle => handle.drawn", done)
    page.wait_for_url("**/?init_scale=0.977")
    assert page.evaluate("history.length") == before + 1
    done = page.evaluate_handle(f"() => ({{drawn: ({AWAIT})(1)}})")
    page.go_back()
    page.evaluate("handle => handle.drawn", done)
    assert page.evaluate(STD) == stds(api(url))
    assert page.locator("#c-init_scale").input_value() == "1"
    page.go_forward()
    expect(page.locator("#c-init_scale")).to_have_value("0.977")


def test_a_reload_restores_everything(page: Page) -> None:
    page.locator(".presets a", has_text="randn × 0.1: holds").click()
    settle(page, "hold")
    page.locator("[data-action=pin]").click()
    page.locator("#c-depth").fill("20")
    page.locator("#c-depth").press("Tab")
    page.locator("#chart-activations").get_by_role("button", name="before φ").click()
    page.locator("#chart-magnitudes").get_by_role("button", name="weights").click()
    page.locator("#block-7").click()
    expect(page.locator("#inspector h2")).to_have_text("Layer 7")
    page.wait_for_url("**depth=20**layer=7**")
    page.reload()
    expect(page.locator("#inspector h2")).to_have_text("Layer 7")
    expect(page.locator("#c-depth")).to_have_value("20")
    expect(page.locator("#compare")).to_contain_text("depth5020")
    for name in ("before φ", "weights"):
        pressed = page.get_by_role("button", name=name, exact=True).first
        expect(pressed).to_have_attribute("aria-pressed", "true")
    assert len(page.evaluate("document.querySelector('#chart-activations .plot').data[0].y")) == 51


@pytest.mark.parametrize(
    ("preset", "verdict", "cell", "classes"),
    [
        ("randn × 1: NaN", "overflow float32 at layer 38", 39, "s-nan"),
        ("randn × 0.01: zeros", "", 47, "s-zero"),
        ("randn × 0.1: holds", "hold", 50, "q1"),
        ("float16 overflow", "overflow float16", 17, "s-"),
    ],
)
def test_presets(page: Page, preset: str, verdict: str, cell: int, classes: str) -> None:
    link = page.locator(".presets a", has_text=preset)
    link.click()
    expect(link).to_have_attribute("aria-current", "true")
    settle(page, verdict)
    expect(page.locator(f"#block-{cell} .cell").first).to_have_class(re.compile(rf"cell {classes}"))


def test_what_is_not_finite_is_said(page: Page) -> None:
    page.locator(".presets a", has_text="randn × 1: NaN").click()
    settle(page, "overflow")
    notes = page.locator("#chart-activations .words-over span").all_text_contents()
    assert "Inf 38 · NaN 39" in notes
    assert any("float32 max" in note for note in notes)
    expect(page.locator("#chart-gradients .none")).to_contain_text("no finite, nonzero gradient")
    page.locator("#block-12").click()
    expect(page.locator("#inspector .all").first).to_have_text("all NaN")


def test_inspector_follows_clicks_and_keys(page: Page, url: str) -> None:
    page.locator("#block-3").click()
    expect(page.locator("#inspector h2")).to_have_text("Layer 3")
    page.locator("#strip ol").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#inspector h2")).to_have_text("Layer 4")
    page.keyboard.press("]")
    expect(page.locator("#inspector h2")).to_have_text("Layer 5")
    page.locator("#inspector summary").click()
    entry = next(e for e in ends(api(url)) if e["block"] == 5)
    shown = page.locator("#inspector .figures tbody tr").first.locator("td").all_inner_texts()
    assert shown[0] == "20\u2009000"
    assert float(shown[3]) == pytest.approx(entry["activation"]["std"], rel=5e-3)
    expect(page.locator("#inspector canvas")).to_have_count(4)
    expect(page.locator("#inspector .rules")).to_contain_text("g · [y > 0]")
    with page.expect_download() as download:
        page.locator("#inspector .npy").first.click()
    array = np.load(io.BytesIO(download.value.path().read_bytes()))
    assert array.shape == (200, 100)
    assert float(array.std(ddof=1)) == pytest.approx(entry["activation"]["std"], rel=1e-5)


def test_clicking_a_chart_chooses_the_layer(page: Page) -> None:
    plot = page.locator("#chart-activations .nsewdrag").bounding_box()
    assert plot
    page.mouse.move(plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] / 2)
    page.mouse.click(plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] / 2)
    expect(page.locator("#inspector h2")).to_have_text("Layer 26")
    expect(page.locator("#block-26")).to_have_attribute("aria-selected", "true")


def test_pin_compares_and_swaps(page: Page, url: str) -> None:
    page.keyboard.press("k")
    expect(page.locator("#compare")).to_contain_text("same setting")
    page.locator("#c-init").select_option("kaiming_uniform")
    settle(page, "")
    changed = page.locator("#compare tbody tr").first
    expect(changed).to_contain_text("kaiming_normalkaiming_uniform")
    ghost = "document.querySelector('#chart-activations .plot').data[0].y"
    until(page, f"{ghost}.length === 51")
    assert page.evaluate(ghost) == stds(api(url))
    page.keyboard.press("x")
    expect(page.locator("#c-init")).to_have_value("kaiming_normal")
    expect(changed).to_contain_text("kaiming_uniformkaiming_normal")
    page.keyboard.press("k")
    expect(page.locator("#compare")).to_be_hidden()


def test_a_bad_value_is_answered_beside_its_control(page: Page, url: str) -> None:
    page.allowed.append("422")  # type: ignore[attr-defined]
    box = page.locator("#c-depth")
    box.fill("5000")
    message = page.locator("#depth-error")
    expect(message).to_contain_text("expected a whole number from 1 to 1000")
    expect(box).to_have_attribute("aria-invalid", "true")
    assert page.evaluate(STD) == stds(api(url))  # the last good result stays
    box.fill("3")
    expect(message).to_have_text("")
    until(page, f"{STD}.length === 4")


def test_a_cold_link_with_bad_values_keeps_them(blank: Page, url: str) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    answer = blank.goto(f"{url}/?depth=many&init=best&width=7")
    assert answer
    assert answer.status == 422
    expect(blank.locator("#c-depth")).to_have_value("many")
    expect(blank.locator("#depth-error")).to_contain_text("expected a whole number")
    expect(blank.locator("#c-init")).to_have_value("best")
    expect(blank.locator("#init-error")).to_contain_text("expected one of")
    expect(blank.locator("#c-width")).to_have_value("7")
    blank.locator("#c-depth").fill("4")
    blank.locator("#c-init").select_option("zeros")
    expect(blank.locator("#strip li")).to_have_count(5)
    blank.goto(f"{url}/?colour=red")
    expect(blank.locator("#general-error")).to_contain_text("colour: unknown parameter")


def test_dark_by_preference_and_by_choice(page: Page, url: str) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    line = "document.querySelector('#chart-activations .plot')._fullData[4].line.color"
    light, blue = page.evaluate(paper), page.evaluate(line)
    page.emulate_media(color_scheme="dark")
    until(page, f"{line} !== '{blue}'")
    dark = page.evaluate(paper)
    assert dark != light
    page.locator("[data-theme-toggle]").click()
    assert page.evaluate(paper) == light
    page.reload()
    assert page.evaluate(paper) == light


def test_present_mode_is_a_link_too(page: Page) -> None:
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    page.keyboard.press("p")
    assert page.evaluate(size) == 24
    assert "present=1" in page.url
    page.reload()
    until(page, f"{size} === 24")
    page.keyboard.press("Escape")
    assert page.evaluate(size) == 16


def test_presenting_on_a_phone_nothing_lies_over_anything(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("p")
    box = """all => all.map((each) => each.getBoundingClientRect().toJSON())
        .filter(({ width }) => width)"""
    (tools,), (presets,) = (page.locator(css).evaluate_all(box) for css in (".tools", ".presets"))
    assert tools["bottom"] <= presets["top"]
    shown = "[data-control='depth'] > {0}, [data-control='width'] > {0}"
    parts = page.locator(f"{shown.format('label')}, {shown.format('input')}").evaluate_all(box)
    assert len(parts) == 4
    for one, other in pairwise(parts):
        assert one["right"] <= other["left"]
    (last,) = page.locator("[data-tick='50']").evaluate_all(box)
    pairs = "document.querySelector('.pairs')"
    wide = page.evaluate(f"{pairs}.getBoundingClientRect().left + {pairs}.clientWidth")
    written = "getComputedStyle(document.querySelector('[data-tick=\"50\"]'), '::after')"
    digits = page.evaluate(f"parseFloat({written}.width)")
    assert digits > last["right"] - last["left"], "or it could not be cut"
    assert last["left"] + digits <= wide
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_the_inspector_says_of_a_tensor_stays_over_it(page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    over = """all => all.flatMap((each) => [...each.children]
        .map((part) => part.getBoundingClientRect().right - each.getBoundingClientRect().right))"""
    found = page.locator("#inspector figure.tensor figcaption").evaluate_all(over)
    assert len(found) == 12
    assert max(found) <= 0.5


def test_more_stays_closed_until_there_is_more_behind_it(page: Page, url: str) -> None:
    page.goto(f"{url}/?output_scale=0.5")
    rare = page.locator(".rare")
    expect(rare).to_have_attribute("open", "")
    rare.locator("summary").click()
    page.locator("#c-activation").select_option("tanh")
    until(page, "location.search.includes('tanh')")
    expect(rare).not_to_have_attribute("open", "")
    rare.locator("summary").click()
    page.locator("#c-output_scale").fill("1")
    page.locator("#c-output_scale").press("Tab")
    until(page, "!location.search.includes('output_scale')")
    rare.locator("summary").click()
    expect(rare).not_to_have_attribute("open", "")
    page.go_back()
    expect(page.locator("#c-output_scale")).to_have_value("0.5")
    expect(rare).to_have_attribute("open", "")


def test_keys_and_dialogs(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.get_by_role("button", name="As PyTorch").click()
    expect(page.locator("#script pre")).to_contain_text("import torch")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("#toast")).to_have_text("Link copied")
    page.get_by_role("button", name="Copy call").click()
    expect(page.locator("#toast")).to_have_text("Call copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("curl 'http://127.0.0.1")
    seed = page.locator("#c-seed").input_value()
    page.keyboard.press("r")
    expect(page.locator("#c-seed")).not_to_have_value(seed)


def test_every_chart_has_pixels(page: Page) -> None:
    page.locator("#block-3").click()
    expect(page.locator("#inspector canvas")).to_have_count(4)
    charts = [
        f"#chart-{name} .plot" for name in ("activations", "gradients", "magnitudes", "silent")
    ]
    for selector in (*charts, "#strip", "#inspector .picture >> nth=0"):
        shot = page.locator(selector).screenshot()
        assert coloured(page, shot) > 0.01, selector


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
            const pixel = data.subarray(i, i + 3);
            if (Math.max(...pixel) - Math.min(...pixel) > 24) found++;
          }
          return found / (data.length / 4);
        }""",
        list(png),
    )
    return share


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?init=normal&activation=linear&depth=200#layer=12",
        "?depth=10&width=32&norm=layer&norm_gain=0&residual=true",  # causes with long names
    ],
)
def test_nothing_is_wider_than_a_phone(blank: Page, url: str, query: str) -> None:
    blank.set_viewport_size({"width": 390, "height": 844})
    blank.goto(f"{url}/{query}")
    blank.wait_for_load_state("networkidle")
    assert blank.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_thousand_layers_stay_usable(blank: Page, url: str) -> None:
    blank.set_viewport_size({"width": 390, "height": 844})
    blank.goto(f"{url}/?depth=1000&width=10&batch=10&init=orthogonal&activation=linear")
    expect(blank.locator("#strip li")).to_have_count(1001)
    blank.locator("#strip ol").focus()
    blank.keyboard.press("End")
    blank.keyboard.press("ArrowLeft")
    expect(blank.locator("#inspector h2")).to_have_text("Layer 1000")
    assert blank.locator("#block-1000").bounding_box()["width"] >= 4  # type: ignore[index]


def test_without_javascript_the_result_is_there(browser: Any, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/?init=normal&activation=linear")
    expect(page.locator("#verdict h2")).to_contain_text("overflow float32 at layer 38")
    expect(page.locator(".row-activations .cell")).to_have_count(51)
    expect(page.locator(".row-activations .cell").nth(38)).to_have_class("cell s-nan")
    page.locator(".layers summary").click()
    expect(page.locator("#layers tbody tr")).to_have_count(51)
    page.locator("#c-depth").fill("4")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".row-activations .cell")).to_have_count(5)
    context.close()


@pytest.mark.parametrize("query", ["", "?init=normal&activation=linear#layer=12&pin="])
def test_axe_finds_nothing(blank: Page, url: str, query: str) -> None:
    blank.goto(f"{url}/{query}")
    blank.wait_for_load_state("networkidle")
    assert inaccessible(blank) == []
