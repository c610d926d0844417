"""The page of a run that has ended in NaN: its picture, its cursor, its tensors, its curves."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from layerscope.app.figures.text import number
from tests.browser.recorded import COLUMNS, api, cells_of
from tests.browser.serving import inaccessible, until
from tests.browser.training import BROKEN, train
from tests.serving import RunningServer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def asked_server(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that knows one run, which has ended."""
    folder = tmp_path_factory.mktemp("run")
    train(folder / "runs.db", BROKEN)
    with serve(data_dir=folder, warm_up=False) as running:
        yield running


def test_a_cell_opens_its_module_and_keys_go_on_from_there(blank: Page, site: str) -> None:
    blank.goto(f"{site}/runs")
    blank.get_by_role("link", name="tiny").click()
    until(blank, f"{COLUMNS} === 18")
    box = blank.locator("#chart-map .nsewdrag").bounding_box()
    assert box
    blank.mouse.move(box["x"] + box["width"] * 0.26, box["y"] + box["height"] * 0.5)
    blank.mouse.click(box["x"] + box["width"] * 0.26, box["y"] + box["height"] * 0.5)
    expect(blank.locator("#module-title")).to_have_text("1")
    blank.keyboard.press("ArrowDown")
    expect(blank.locator("#module-title")).to_have_text("2")
    expect(blank.locator("#module")).to_contain_text("weight: update Δw")
    blank.wait_for_url("**module=2&step=5**")
    blank.reload()
    expect(blank.locator("#module-title")).to_have_text("2")
    expect(blank.locator("#run-readout")).to_contain_text("2 at step 5")
    blank.locator("select[name=quantity]").select_option("update_ratio")
    blank.wait_for_url("**quantity=update_ratio**")
    (run,) = api(site, "runs")["runs"]
    ratio = api(site, f"runs/{run['id']}/series?quantity=update_ratio&from=5&to=5")["values"][2][0]
    expect(blank.locator("#run-readout")).to_have_text(f"2 at step 5: {number(ratio)}")


def spread_of(page: Page) -> Any:
    """What the chart of a tensor's entries has: steps, counts by row, and the cursor's place."""
    return page.evaluate("""() => {
      const { data, layout } = document.querySelector('#chart-spread .plot');
      const count = z => z === null ? 0 : Math.round(10 ** z);
      const counted = data.map(trace => trace.z.map(row => row.map(count)));
      return [data[0].x, counted, layout.shapes.filter(s => s.type === 'line').map(s => s.x0)];
    }""")


def test_a_tensors_entries_are_shown_by_size_over_the_steps(blank: Page, site: str) -> None:
    (run,) = api(site, "runs")["runs"]
    blank.goto(f"{site}/runs/{run['id']}?module=0&step=7&tensor=weight.grad")
    until(blank, "document.querySelector('#chart-spread .plot').data?.[0].x.length === 18")
    steps, counted, cursor = spread_of(blank)
    series = f"runs/{run['id']}/series?quantity=histogram&modules=0&tensor="
    (row,) = api(site, f"{series}weight.grad")["values"]
    assert cursor == [7]
    assert [sum(part[i][column] for part in counted for i in range(len(part)))
            for column in range(len(steps))] == [each["count"] for each in row]  # fmt: skip
    lost = [each["nan"] + each["posinf"] + each["neginf"] for each in row]
    assert [sum(r[i] for r in counted[2]) for i in range(len(steps))] == lost
    assert sum(lost) > 0
    expect(blank.locator("#spread-readout")).to_contain_text("step 7: 96 entries, from 2")
    with blank.expect_download() as saved:
        blank.get_by_role("button", name="histogram SVG").click()
    assert saved.value.suggested_filename == "0-weight-grad-histogram.svg"
    # Another step moves the line; another tensor is in the address, and there after a reload.
    blank.locator("#picture").press("ArrowRight")
    until(blank, "document.querySelector('#chart-spread .plot').layout.shapes.at(-1).x0 === 8")
    expect(blank.locator("#module")).to_contain_text("step 8")
    blank.locator("#tensor").select_option("bias")
    expect(blank.locator("#spread-readout")).to_contain_text("step 8: 16 entries")
    assert "tensor=bias" in blank.url
    blank.reload()
    expect(blank.locator("#spread-readout")).to_contain_text("step 8: 16 entries")
    # A module without a bias shows its output.
    blank.locator("#picture").press("ArrowDown")
    expect(blank.locator("#module-title")).to_have_text("1")
    expect(blank.locator("#spread-readout")).to_contain_text("step 8: 512 entries")
    assert blank.locator("#tensor").input_value() == "activation"
    blank.locator("#picture").press("ArrowDown")
    expect(blank.locator("#spread-readout")).to_contain_text("step 8: 1 entries")
    assert blank.locator("#tensor").input_value() == "bias"
    assert inaccessible(blank, "#module-place") == []
    blank.set_viewport_size({"width": 390, "height": 844})
    assert blank.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_tensor_chosen_while_a_panel_is_under_way_stays_chosen(blank: Page, site: str) -> None:
    (run,) = api(site, "runs")["runs"]
    blank.goto(f"{site}/runs/{run['id']}?module=0&step=7&tensor=weight.grad")
    expect(blank.locator("#spread-readout")).to_contain_text("step 7: 96 entries")
    late: list[Route] = []
    blank.route("**/module?*step=8*", lambda route: late.append(route))
    with blank.expect_request("**/module?*step=8*"):
        blank.locator("#picture").press("ArrowRight")
    blank.locator("#tensor").select_option("bias")
    expect(blank.locator("#spread-readout")).to_contain_text("step 8: 16 entries")
    assert late
    for route in late:
        route.continue_()
    expect(blank.locator("#module header")).to_contain_text("step 8")
    expect(blank.locator("#tensor")).to_have_value("bias")
    expect(blank.locator("#spread-readout")).to_contain_text("step 8: 16 entries")
    assert "tensor=bias" in blank.url


def cursors_of(page: Page) -> Any:
    """At which step each chart's cursor is: the loss's, the picture's, the tensor's."""
    return page.evaluate("""['loss', 'map', 'spread'].map(name =>
        document.querySelector(`#chart-${name} .plot`).layout.shapes.at(-1).x0)""")


def test_a_slider_moves_one_cursor_through_all_charts_and_replays_the_signal(
    blank: Page, site: str
) -> None:
    (run,) = api(site, "runs")["runs"]
    store_address = f"{site}/runs/{run['id']}"

    def signal(step: int) -> Any:
        with urllib.request.urlopen(f"{store_address}/signal?step={step}") as answer:  # noqa: S310
            told = json.load(answer)
        assert told["step"] == step
        return [[a or "s-none", g or "s-none"] for a, _, g, _ in told["modules"]]

    blank.goto(f"{store_address}?module=0&step=3")
    # The strip's cells end where its arrows do.
    ends = blank.evaluate("""['#signal .pairs li:last-child .cell', '#signal .way.forward']
      .map(each => document.querySelector(each).getBoundingClientRect().right)""")
    assert abs(ends[0] - ends[1]) <= 1
    until(blank, "document.querySelector('#chart-spread .plot').data?.[0].x.length === 18")
    slider = blank.locator("#step")
    assert slider.input_value() == "2"
    assert cells_of(blank) == signal(3)
    slider.press("ArrowRight")
    expect(blank.locator("#step-now")).to_have_text("step 4")
    until(blank, "document.querySelector('#module header b').textContent === '4'")
    assert cursors_of(blank) == [4, 4, 4]
    assert slider.get_attribute("aria-valuetext") == "step 4"
    filled = "getComputedStyle(document.querySelector('#step')).getPropertyValue('--fill')"
    assert blank.evaluate(filled) == "17.6%"  # the fourth of eighteen
    slider.press("End")
    blank.wait_for_url("**step=18**")
    until(blank, "document.querySelector('#signal .s-nan')")
    assert cells_of(blank) == signal(18) != signal(3)
    until(blank, "document.querySelector('#module header b').textContent === '18'")
    across = blank.locator("#module .cursor").first.get_attribute("transform")
    blank.reload()
    until(blank, "document.querySelector('#chart-spread .plot').data?.[0].x.length === 18")
    assert (slider.input_value(), cells_of(blank)) == ("17", signal(18))
    assert cursors_of(blank) == [18, 18, 18]
    assert blank.locator("#module .cursor").first.get_attribute("transform") == across
    # By itself, from the first step where it stood at the last, to the end.
    blank.evaluate("""window.seen = [];
        new MutationObserver(() => seen.push(Number(document.querySelector('#step').value) + 1))
          .observe(document.querySelector('#step-now'), { childList: true })""")
    play = blank.locator("#play")
    play.click()
    until(blank, "seen.at(-1) === 18")
    expect(play).to_have_attribute("aria-pressed", "false")
    passed = blank.evaluate("seen")
    assert passed[0] == 1
    assert len(passed) > 3
    assert passed == sorted(passed)
    assert slider.input_value() == "17"
    blank.wait_for_url("**step=18**")
    until(blank, "document.querySelector('#signal .s-nan')")
    # A pair of cells is a module; the arrows there are the strip's.
    blank.locator("#signal li").nth(1).click()
    expect(blank.locator("#module-title")).to_have_text("1")
    blank.locator("#signal .pairs").press("ArrowRight")
    expect(blank.locator("#module-title")).to_have_text("2")
    assert cursors_of(blank)[1] == 18
    assert inaccessible(blank, "#picture") == []
    blank.set_viewport_size({"width": 390, "height": 844})
    assert blank.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_steps_figures_are_curves_over_the_modules_beside_the_first_steps(
    blank: Page, site: str
) -> None:
    (run,) = api(site, "runs")["runs"]
    runs = f"runs/{run['id']}/series"

    def column(quantity: str, step: int) -> Any:
        return [row[0] for row in api(site, f"{runs}?quantity={quantity}&from={step}&to={step}")[
            "values"]]  # fmt: skip

    def drawn(name: str, trace: int) -> Any:
        return blank.evaluate(f"document.querySelector('#chart-{name} .plot').data[{trace}].y")

    blank.goto(f"{site}/runs/{run['id']}?module=1&step=5")
    blank.locator("#depth").scroll_into_view_if_needed()
    until(blank, "document.querySelector('#chart-gradients .plot').data[0].y.length === 3")
    expect(blank.locator("#depth-note")).to_have_text(
        "at step 5; faint: step 1, the first that was recorded"
    )
    assert drawn("activations", 2) == column("std", 5)
    assert drawn("activations", 0) == column("std", 1)
    assert drawn("gradients", 2)[:2] == column("gradient_std", 5)[:2]
    cursor = "document.querySelector('#chart-activations .plot').layout.shapes.at(-1).x0"
    assert blank.evaluate(cursor) == 2
    # The slider moves them; what is not finite is marked above the axis, and none of it left out.
    blank.locator("#step").press("End")
    until(blank, "document.querySelector('#depth-note').textContent.startsWith('at step 18;')")
    until(blank, "document.querySelector('#chart-activations .plot').data[3].x.length > 0")
    lost = blank.evaluate("document.querySelector('#chart-activations .plot').data[3]")
    with urllib.request.urlopen(f"{site}/runs/{run['id']}/signal?step=18") as answer:  # noqa: S310
        figures = json.load(answer)["figures"]
    assert lost["x"] == [place for place, row in enumerate(figures, 1) if row[2] or row[0] == 0]
    assert "NaN" in "".join(lost["text"])
    with blank.expect_download() as saved:
        blank.get_by_role("button", name="activations SVG").click()
    assert saved.value.suggested_filename == "tiny-step-18-activations.svg"
    text = Path(saved.value.path()).read_text()
    assert ">step 1<" in text
    assert ">the whole<" not in text
    # A click on a module chooses it; on a phone one chart stands above the other.
    where = blank.evaluate(
        """() => { const plot = document.querySelector('#chart-activations .plot');
        const full = plot._fullLayout, box = plot.getBoundingClientRect();
        return [box.x + full.xaxis._offset + full.xaxis.c2p(1), box.y + box.height / 2]; }"""
    )
    blank.mouse.move(*where)
    blank.mouse.click(*where)
    expect(blank.locator("#module-title")).to_have_text("0")
    until(blank, f"{cursor} === 1")
    # In the dark cursors and marks have other colours too.
    colours = """['loss', 'activations'].map(name =>
        document.querySelector(`#chart-${name} .plot`).layout.shapes.at(-1).line.color)"""
    light = blank.evaluate(colours)
    blank.emulate_media(color_scheme="dark")
    until(blank, f"{colours}.every((colour, i) => colour !== {light}[i])")
    blank.emulate_media(color_scheme="light")
    assert inaccessible(blank, "#depth") == []
    blank.set_viewport_size({"width": 390, "height": 844})
    assert blank.evaluate("document.documentElement.scrollWidth") <= 390


def test_charts_are_drawn_however_late_their_library_comes(blank: Page, site: str) -> None:
    late: list[Route] = []
    blank.route("**/plotly*.js*", lambda route: late.append(route))
    blank.set_viewport_size({"width": 1600, "height": 1800})
    (run,) = api(site, "runs")["runs"]
    blank.goto(f"{site}/runs/{run['id']}", wait_until="commit")
    expect(blank.locator("#depth-note")).to_contain_text("at step")
    (route,) = late
    route.continue_()
    for side in ("activations", "gradients"):
        until(blank, f"document.querySelector('#chart-{side} .plot').data?.length > 1")


def test_a_replay_needs_motion(blank: Page, site: str) -> None:
    (run,) = api(site, "runs")["runs"]
    blank.emulate_media(reduced_motion="reduce")
    blank.goto(f"{site}/runs/{run['id']}?step=3")
    until(blank, f"{COLUMNS} === 18")
    assert blank.locator("#step").is_visible()
    assert not blank.locator("#play").is_visible()


@pytest.mark.parametrize("path", ["", "/run"])
def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(
    blank: Page, site: str, path: str
) -> None:
    blank.goto(f"{site}/runs")
    if path:
        blank.get_by_role("link", name="tiny").click()
        until(blank, f"{COLUMNS} === 18")
        blank.locator(".modules summary").click()
        blank.locator(".modules a").first.click()
        expect(blank.locator("#module-title")).to_have_text("0")
    assert inaccessible(blank) == []
    blank.set_viewport_size({"width": 390, "height": 844})
    assert blank.evaluate("document.documentElement.scrollWidth") <= 390
