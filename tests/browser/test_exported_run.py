"""A run's own file, opened without a server and without a network."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from layerscope.app.exported import run_document
from layerscope.app.figures.text import number
from layerscope.engine.store import open_store
from tests.browser.serving import inaccessible, until
from tests.runs import HOSTILE_MODULE, facts, recorded_run

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>document.title = 'taken'</script>"

NAMES = ("block.0.linear", HOSTILE_MODULE)


def test_it_opens_from_a_disk_and_draws(browser: Browser, tmp_path: Path) -> None:
    store = open_store(tmp_path / "runs.db")
    stds = [[1.0 / n, 2.0] for n in range(1, 30)] + [[float("nan"), 2.0]]
    modules = [msgspec.structs.replace(f, name=n) for f, n in zip(facts(2), NAMES, strict=True)]
    recorded_run(store, "r", {"lr": 0.1}, stds, name=HOSTILE, finding="nonfinite", modules=modules)
    file = tmp_path / "run.html"
    file.write_text(run_document(store, "r"), encoding="utf-8")
    store.close()
    context = browser.new_context(offline=True, accept_downloads=True)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: wrong.append(r.url) if r.url.startswith("http") else None)
    page.goto(file.as_uri())
    until(page, "document.querySelector('#chart-map .plot').data?.[0].x.length === 30")
    map_data = "document.querySelector('#chart-map .plot').data"
    assert page.evaluate(f"{map_data}[0].customdata[0].slice(0, 29)") == [r[0] for r in stds[:29]]
    assert page.evaluate(f"{map_data}[1].z[0][29]") == 1
    assert page.evaluate("document.querySelector('#chart-loss .plot').data[0].y.length") == 30
    assert "taken" not in page.title()[:5]
    expect(page.locator("h1")).to_have_text(HOSTILE)
    page.locator("#picture").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#run-readout")).to_have_text(
        f"block.0.linear at step 29: {number(1 / 29)}"
    )
    expect(page.locator("#chart-map > .plot")).to_contain_text('…/taken">&lt;b</a>')
    assert page.locator("#chart-map svg a").count() == 0
    # The charts by depth are in the file too.
    by_depth = "document.querySelector('#chart-activations .plot').data"
    page.locator("#depth").scroll_into_view_if_needed()
    until(page, f"{by_depth}[2].y[0] === {1 / 29}")
    assert page.evaluate(f"{by_depth}[0].y") == [1.0, 2.0]
    expect(page.locator("#depth-note")).to_contain_text("at step 29; faint: step 1")
    expect(page.locator("#chart-gradients")).to_be_hidden()
    page.locator("#picture").press("ArrowRight")
    until(page, f"{by_depth}[3].x.join() === '1'")
    page.locator("#picture").press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#run-readout")).to_contain_text(f"{HOSTILE_MODULE} at step 29")
    with page.expect_download() as saved:
        page.get_by_role("button", name="picture PNG").click()
    assert saved.value.suggested_filename.endswith("picture.png")
    assert Path(saved.value.path()).read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as saved:
        page.get_by_role("button", name="loss SVG").click()
    assert "<svg" in Path(saved.value.path()).read_text()
    page.locator("#quantity").select_option("nonfinite")
    until(page, f"{map_data}[0].customdata[0][29] === 1")
    assert wrong == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert inaccessible(page) == []
    expect(page.locator("#rows")).to_be_hidden()
    context.close()


def test_blocks_of_many_modules_are_closed_and_can_be_opened(
    browser: Browser, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "runs.db")
    names = [f"h.{block}.{part}" for block in range(25) for part in ("attn", "mlp")]
    modules = [msgspec.structs.replace(f, name=n) for f, n in zip(facts(50), names, strict=True)]
    recorded_run(store, "r", {}, [[1.0, 100.0] * 25] * 3, modules=modules)
    file = tmp_path / "run.html"
    file.write_text(run_document(store, "r"), encoding="utf-8")
    store.close()
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    drawn = "document.querySelector('#chart-map .plot').data?.[0]"
    until(page, f"{drawn}.y.length === 25")
    assert page.evaluate(f"{drawn}.text[0][0]") == "<br>the worst: h.0.mlp"
    expect(page.locator("#picture .hint")).to_contain_text("blocks are closed (▸)")
    page.get_by_label("Rows").select_option("modules")
    until(page, f"{drawn}.y.length === 50")
    page.locator("#quantity").select_option("mean")
    until(page, f"{drawn}.customdata[0][0] === 0 && {drawn}.y.length === 50")
    context.close()


def test_a_chart_that_was_never_on_screen_is_saved_as_it_is(
    browser: Browser, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "runs.db")
    recorded_run(store, "r", {}, [[1.0, 2.0]] * 3)
    file = tmp_path / "run.html"
    file.write_text(run_document(store, "r"), encoding="utf-8")
    store.close()
    context = browser.new_context(
        offline=True, accept_downloads=True, viewport={"width": 800, "height": 60}
    )
    page = context.new_page()
    page.goto(file.as_uri())
    button = page.get_by_role("button", name="picture SVG")
    expect(button).to_be_attached()
    with page.expect_download() as saved:
        button.evaluate("button => button.click()")  # without going there
    assert page.evaluate("document.querySelector('#chart-map .plot').data === undefined")
    drawn = Path(saved.value.path()).read_text()
    assert "block.0.linear" in drawn
    assert "<image" in drawn
    context.close()
