"""Runs in real Chromium: one is followed while it trains in another process, to its NaN."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, expect

from layerscope.engine.store import open_store
from tests.browser.recorded import COLUMNS, api, cells_of, recorded
from tests.browser.serving import inaccessible, until
from tests.browser.training import Training, train
from tests.runs import HOSTILE_MODULE, facts, recorded_run
from tests.serving import wait_until

pytestmark = pytest.mark.browser


def test_a_training_is_watched_from_its_first_step_to_its_nan(
    blank: Page, site: str, file: Path
) -> None:
    training = Training(file)
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


def test_a_row_is_renamed_deleted_and_brought_back(blank: Page, site: str, file: Path) -> None:
    train(file, [(1, 0.05)])
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


def test_a_modules_name_is_text_in_the_picture(blank: Page, site: str, file: Path) -> None:
    store = open_store(file)
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


def test_blocks_of_many_modules_are_closed_until_they_are_looked_at(
    blank: Page, site: str, file: Path
) -> None:
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    names = [f"h.{layer}.{part}" for layer in range(12) for part in parts]
    modules = [
        msgspec.structs.replace(f, name=name) for f, name in zip(facts(72), names, strict=True)
    ]
    bad = names.index("h.7.mlp.c_fc")
    stds = [[1.0] * 72 for _ in range(4)]
    stds[3][bad] = float("nan")
    store = open_store(file)
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
