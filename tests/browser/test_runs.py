"""A run in real Chromium: followed while it trains in another process, to its NaN."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, Route, expect

from layerscope.app.figures.text import number
from layerscope.engine.store import Batch, Store, open_store
from layerscope.engine.store.entries import Modules, Start, StepEntry
from layerscope.engine.store.location import default_url
from tests.browser.serving import inaccessible, serving, until
from tests.conftest import wait_until
from tests.runs import HOSTILE_MODULE, facts, recorded_run

pytestmark = pytest.mark.browser

COLUMNS = "document.querySelector('#chart-map .plot').data?.[0].x.length"
TRAINING = """
import sys, torch, layerscope
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
x = torch.randn(32, 6)
with layerscope.watch(model, optimizer, name="tiny", every=1) as probe:
    for line in sys.stdin:  # as many steps, at this learning rate
        steps, optimizer.param_groups[0]["lr"] = int(line.split()[0]), float(line.split()[1])
        for _ in range(steps):
            loss = (model(x) - x[:, :1]).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            probe.step(loss)
"""


class Training:
    """A training in a process of its own, which goes on when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", TRAINING], stdin=subprocess.PIPE, text=True,
            env={**os.environ, "LAYERSCOPE_DATA_DIR": str(folder)},
        )  # fmt: skip

    def steps(self, count: int, rate: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{count} {rate}\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def api(site: str, path: str) -> Any:
    with urllib.request.urlopen(f"{site}/api/v1/{path}") as answer:  # noqa: S310 - our own server
        return json.load(answer)


def recorded(site: str) -> list[int]:
    """Steps of each run."""
    return [run["steps"] for run in api(site, "runs")["runs"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    with serving(data_dir=str(folder), warm_up="false") as address:
        yield address


@pytest.fixture(scope="module")
def url(site: str) -> str:
    return site


def test_a_training_is_watched_from_its_first_step_to_its_nan(
    blank: Page, site: str, folder: Path
) -> None:
    training = Training(folder)
    try:
        blank.goto(f"{site}/runs")
        expect(blank.locator("main")).to_contain_text("layerscope.watch")
        training.steps(5, 0.05)
        wait_until(lambda: recorded(site) == [5])
        blank.reload()
        blank.get_by_role("link", name="tiny").click()
        expect(blank.locator("#run-facts")).to_contain_text("running")
        until(blank, f"{COLUMNS} === 5")
        training.steps(5, 0.05)
        until(blank, f"{COLUMNS} === 10")
        training.steps(8, 1e15)
        until(blank, f"{COLUMNS} === 18")
        expect(blank.locator("#run-facts")).to_contain_text("not finite")
        faults = blank.evaluate("document.querySelector('#chart-map .plot').data[1].z.flat()")
        assert 1 in faults
        training.end()
        expect(blank.locator("#run-facts")).to_contain_text("finished")
        before = blank.evaluate("document.querySelector('#chart-map .plot').data[0].customdata")
        blank.reload()
        until(blank, f"{COLUMNS} === 18")
        after = blank.evaluate("document.querySelector('#chart-map .plot').data[0].customdata")
        assert after == before
    finally:
        training.end()


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


def cells_of(page: Page) -> Any:
    """The strip's cells, as classes: a pair a row."""
    return page.evaluate("""[...document.querySelectorAll('#signal .pairs li')].map(pair =>
        [...pair.children].map(cell => [...cell.classList].filter(c => c !== 'cell').join(' ')))""")


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


def test_a_replay_needs_motion(blank: Page, site: str) -> None:
    (run,) = api(site, "runs")["runs"]
    blank.emulate_media(reduced_motion="reduce")
    blank.goto(f"{site}/runs/{run['id']}?step=3")
    until(blank, f"{COLUMNS} === 18")
    assert blank.locator("#step").is_visible()
    assert not blank.locator("#play").is_visible()


def test_a_row_is_renamed_deleted_and_brought_back(blank: Page, site: str) -> None:
    blank.goto(f"{site}/runs")
    blank.locator(".change summary").click()
    blank.locator("input[name=name]").fill("renamed")
    blank.get_by_role("button", name="Rename").click()
    expect(blank.get_by_role("link", name="renamed")).to_be_visible()
    blank.locator(".change summary").click()
    blank.get_by_role("button", name="Delete").click()
    blank.get_by_role("button", name="Undo").click()
    blank.locator(".change summary").click()
    blank.locator("input[name=name]").fill("tiny")
    blank.get_by_role("button", name="Rename").click()
    expect(blank.get_by_role("link", name="tiny")).to_be_visible()


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


def test_runs_are_ticked_and_drawn_on_the_same_axes(blank: Page, site: str, folder: Path) -> None:
    before = len(recorded(site))
    training = Training(folder)
    training.steps(12, 0.1)
    training.end()
    wait_until(lambda: len(recorded(site)) == before + 1)
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


def test_a_modules_name_is_text_in_the_picture(blank: Page, site: str, folder: Path) -> None:
    store = open_store(folder / "runs.db")
    (module,) = facts(1)
    named = [msgspec.structs.replace(module, name=HOSTILE_MODULE)]
    recorded_run(store, "hostile", {}, [[1.0], [0.5]], modules=named)
    store.close()
    blank.goto(f"{site}/runs/hostile")
    until(blank, f"{COLUMNS} === 2")
    expect(blank.locator("#chart-map > .plot")).to_contain_text('…/taken">&lt;b</a>')
    assert blank.locator("#chart-map svg a").count() == 0
    blank.locator("#chart-map .nsewdrag").click()
    expect(blank.locator("#module-title")).to_have_text(HOSTILE_MODULE)


def compared(page: Page, site: str, folder: Path) -> Any:
    """The page of a finished run and of one that trains on for long; the store that they are in."""
    store = Store(default_url(folder), clock=lambda: time.time() + 3600)
    recorded_run(store, "ended", {"lr": 1, "seed": 0}, [[1.0], [0.5]])
    told = [Start("live", {"lr": 2, "seed": 0}, 0.0), Modules([f.to_bytes() for f in facts(1)])]
    store.append("live", Batch(1, [*told, StepEntry(1, 0.0, 1.0, b"")]))
    page.goto(f"{site}/compare?run=ended&run=live")
    until(page, "document.querySelector('#compared-loss .plot').data?.length === 4")
    return store


def test_a_wrong_step_is_said_beside_it_and_what_is_compared_stays(
    blank: Page, site: str, folder: Path
) -> None:
    blank.allowed.append("422")  # type: ignore[attr-defined]
    compared(blank, site, folder).close()
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


def test_what_comes_leaves_the_focus_and_what_is_open(blank: Page, site: str, folder: Path) -> None:
    store = compared(blank, site, folder)
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


def test_blocks_of_many_modules_are_closed_until_they_are_looked_at(
    blank: Page, site: str, folder: Path
) -> None:
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    names = [f"h.{layer}.{part}" for layer in range(12) for part in parts]
    modules = [
        msgspec.structs.replace(f, name=name) for f, name in zip(facts(72), names, strict=True)
    ]
    bad = names.index("h.7.mlp.c_fc")
    stds = [[1.0] * 72 for _ in range(4)]
    stds[3][bad] = float("nan")
    store = open_store(folder / "runs.db")
    recorded_run(store, "deep", {}, stds, modules=modules)
    store.close()
    labels = "document.querySelector('#chart-map .plot').data[0].y"
    blank.goto(f"{site}/runs/deep")
    until(blank, f"{labels}.length === 12")
    assert blank.evaluate(f"{labels}[7]") == "h.7 · 6"
    marked = "document.querySelector('#chart-map .plot').data[1].z.map(row => row[3])"
    assert blank.evaluate(marked) == [1 if row == 7 else None for row in range(12)]
    # The strip has the picture's rows, each at its worst.
    assert [a for a, _ in cells_of(blank)] == ["s-nan" if r == 7 else "q16" for r in range(12)]
    blank.locator("#signal li").nth(7).hover()
    expect(blank.locator("#signal-readout")).to_contain_text("h.7, 6 modules: activation (worst: ")
    # A click opens the block at the module that is not finite there.
    where = blank.evaluate(
        """() => { const plot = document.querySelector('#chart-map .plot'), full = plot._fullLayout;
        const box = plot.getBoundingClientRect();
        return [box.x + full.xaxis._offset + full.xaxis.c2p(4),
                box.y + full.yaxis._offset + full.yaxis.c2p(7)]; }"""
    )
    blank.mouse.click(*where)
    until(blank, f"{labels}.length === 17")
    expect(blank.locator("#run-readout")).to_contain_text("h.7.mlp.c_fc at step 4")
    assert "module=h.7.mlp.c_fc" in blank.url
    blank.locator("#picture").press("ArrowDown")
    blank.locator("#picture").press("ArrowDown")
    expect(blank.locator("#run-readout")).to_contain_text("h.8.ln_1 at step 4")
    until(blank, f"{labels}.length === 17 && {labels}[8] === 'h.8.ln_1'")
    blank.get_by_label("Rows").select_option("modules")
    until(blank, f"{labels}.length === 72")
    assert "rows=modules" in blank.url
    blank.reload()
    until(blank, f"{labels}.length === 72")
    assert inaccessible(blank, "#picture") == []


def test_pictures_of_a_trainings_tensors_follow_the_slider_where_they_are_open(
    blank: Page, site: str
) -> None:
    body = {
        "experiment": {"depth": 2, "width": 8, "batch": 16, "activation": "tanh"},
        "training": {"steps": 30, "learning_rate": 0.05},
    }
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{site}/api/v1/runs", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        run = json.load(answer)["id"]
    wait_until(lambda: api(site, f"runs/{run}")["state"] == "finished")
    asked: list[str] = []
    blank.on("request", lambda r: asked.append(r.url) if "/tensors?" in r.url else None)
    blank.goto(f"{site}/runs/{run}?module=linear2&step=20")
    until(blank, "document.querySelector('#chart-map .plot').data?.[0].x.length === 30")
    assert asked == []
    summary = blank.locator("#pictures summary")
    expect(summary).to_have_text("Pictures of the tensors at step 20")
    summary.click()
    pictures = blank.locator("#pictures-place canvas")
    expect(pictures).to_have_count(4)
    expect(blank.locator("#pictures-place")).to_contain_text("to the last bit")
    drawn = "document.querySelector('#pictures-place canvas').toDataURL()"
    before = blank.evaluate(drawn)
    # The slider moves on: one computation, of where it rests.
    blank.locator("#step").evaluate("""slider => { for (const place of [20, 21, 22]) {
        slider.value = place;
        slider.dispatchEvent(new Event('input', { bubbles: true }));
    } }""")
    expect(summary).to_have_text("Pictures of the tensors at step 23")
    until(blank, "document.querySelector('#pictures-place').textContent.includes('after step 22')")
    assert blank.locator("#pictures").get_attribute("data-stale") is None
    assert blank.evaluate(drawn) != before
    assert [url.split("?")[1] for url in asked] == [
        "module=linear2&step=20", "module=linear2&step=23",
    ]  # fmt: skip
    # Another module has its own.
    blank.locator("#picture").press("ArrowDown")
    expect(pictures).to_have_count(2)
    expect(pictures.first).to_have_attribute("aria-label", re.compile("output of tanh2, 16 by 8"))
    assert inaccessible(blank, "#module-place") == []
    blank.set_viewport_size({"width": 390, "height": 844})
    assert blank.evaluate("document.documentElement.scrollWidth") <= 390
