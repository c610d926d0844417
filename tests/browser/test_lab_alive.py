"""The Lab under the hand: what is drawn while controls move, and of which experiment it is."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Error, Page, Route, expect

from tests.browser.lab import STD, api, ends, idle, stds
from tests.browser.serving import until

pytestmark = pytest.mark.browser

SMALL = "depth=6&width=12&batch=16"

# Moves the slider each frame until so many different experiments were painted with their verdict.
DRAG = """(wanted) => new Promise((done) => {
  const slider = document.querySelector("[data-for=c-init_scale]");
  const seen = new Set();
  let place = 200;
  document.addEventListener("lab:drawn", ({detail}) => detail.summary && seen.add(detail.experiment.init_scale));
  const move = () => {
    slider.value = place = place >= 380 ? 200 : place + 1;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    if (seen.size < wanted) requestAnimationFrame(move);
    else done(document.querySelector("#c-init_scale").value);
  };
  move();
})"""  # noqa: E501

# What every painted frame has shown: of each chart in view its data, of the verdict its experiment.
WATCH = """() => {
  window.frames_seen = [];
  // Told of its size in every frame: after the callbacks for animation, before the frame is seen.
  const probe = document.createElement("div");
  probe.style.position = "fixed";
  document.body.append(probe);
  const data = (name) => document.querySelector(`#chart-${name} .plot`).data;
  new ResizeObserver(() => {
    const verdict = document.querySelector("#verdict");
    if (verdict.hasAttribute("data-running")) return;
    const shown = {query: verdict.dataset.query, charts: {}};
    for (const figure of document.querySelectorAll(".chart")) {
      const {top, bottom, height} = figure.getBoundingClientRect();
      const name = figure.dataset.chart;
      if (!height || bottom < 0 || top > innerHeight || !data(name)) continue;
      if (figure.querySelector("[data-undrawn]")) continue;
      const {x, y, z} = data(name)[{activations: 4, gradients: 4, magnitudes: 0, silent: 1}[name]];
      shown.charts[name] = z ? z.map((line, i) => [y[i], line]) : y;
    }
    window.frames_seen.push(shown);
  }).observe(probe);
  let width = 1;
  const frame = () => {
    probe.style.width = `${width = 3 - width}px`;
    requestAnimationFrame(frame);
  };
  frame();
}"""

SHOWN = "new Set(frames_seen.map(frame => frame.query)).size"

ACT = {
    "slide": """(place) => {
      const slider = document.querySelector("[data-for=c-init_scale]");
      slider.value = place;
      slider.dispatchEvent(new Event("input", {bubbles: true}));
    }""",
    "deepen": """(place) => {
      const box = document.querySelector("#c-depth");
      box.value = 2 + place % 7;
      box.dispatchEvent(new Event("input", {bubbles: true}));
    }""",
    "scroll": "(place) => scrollTo(0, 4 * place - 300)",
    "hide": """(place) => {
      const charts = document.querySelectorAll(".chart");
      charts[place % charts.length].toggleAttribute("hidden");
    }""",
}


def test_a_drag_is_drawn_while_it_lasts_and_ends_exactly(blank: Page, url: str) -> None:
    blank.goto(f"{url}/?{SMALL}")
    until(blank, f"{STD}.length === 7")
    scale = blank.evaluate(DRAG, 5)
    idle(blank)
    assert blank.evaluate(STD) == stds(api(url, f"{SMALL}&init_scale={scale}"))
    expect(blank.locator(".bench")).not_to_have_attribute("data-behind", "")


def test_what_is_older_than_the_controls_says_so(blank: Page, url: str) -> None:
    blank.goto(f"{url}/?{SMALL}")
    until(blank, f"{STD}.length === 7")
    sign = blank.locator(".behind")
    expect(sign).to_be_hidden()
    blank.route("**/lab/stream?*", lambda route: None)  # never answered
    blank.locator("#c-seed").fill("3")
    expect(sign).to_be_visible()
    blank.unroute_all(behavior="ignoreErrors")
    blank.reload()
    expect(sign).to_be_hidden()


def test_the_layer_chosen_last_is_shown_however_late_another_comes(blank: Page, url: str) -> None:
    late: list[Route] = []
    # From the start: added later, one request of a hundred was made and never told of.
    blank.route("**/lab/layer?*block=6*", lambda route: late.append(route))
    blank.goto(f"{url}/?{SMALL}#layer=5")
    expect(blank.locator("#inspector h2")).to_have_text("Layer 5")
    expect(blank.locator("#inspector")).not_to_have_attribute("data-stale", "")
    blank.evaluate("""() => {
      window.swaps = 0;
      const inspector = document.querySelector("#inspector");
      inspector.addEventListener("htmx:after:swap", () => window.swaps++);
    }""")
    with blank.expect_request("**/lab/layer?*block=6*"):
        blank.keyboard.press("]")
    blank.keyboard.press("[")
    for route in late:
        with suppress(Error):  # the page has dropped it
            route.continue_()
    until(blank, "window.swaps > 0")
    expect(blank.locator("#inspector")).not_to_have_attribute("data-stale", "")
    expect(blank.locator("#inspector h2")).to_have_text("Layer 5")
    expect(blank.locator("#strip [aria-selected=true]")).to_have_id("block-5")


def test_no_chart_shows_another_experiment_than_the_verdict(blank: Page, url: str) -> None:
    blank.goto(f"{url}/?{SMALL}")
    until(blank, f"{STD}.length === 7")
    blank.evaluate(WATCH)
    at = random.Random(10)
    steps = 0
    while steps < 60 or (steps < 600 and blank.evaluate(SHOWN) < 6):
        steps += 1
        act = at.choice(["slide"] * 4 + ["scroll", "hide", "deepen", "resize"])
        if act == "resize":
            blank.set_viewport_size(
                {"width": at.randint(400, 1500), "height": at.randint(400, 960)}
            )
        else:
            blank.evaluate(ACT[act], at.randint(100, 350))
    idle(blank)
    frames = blank.evaluate("window.frames_seen")
    shown = {frame["query"] for frame in frames}
    assert len(shown) > 3
    expected = {query: _charts(api(url, query)) for query in shown}
    compared = set()
    for frame in frames:
        for name, drawn in frame["charts"].items():
            compared.add(name)
            assert _plain(drawn) == expected[frame["query"]][name], (frame["query"], name)
    assert compared == set(expected[next(iter(shown))])


def _charts(result: dict[str, Any]) -> dict[str, Any]:
    """What each chart shows of a result of the API."""
    last = ends(result)
    shares: dict[int, list[float | None]] = {}
    for column, layer in enumerate(last):
        s = layer["activation"]
        h = s["histogram"]
        for power, more, less in zip(h["exponents"], h["positive"], h["negative"], strict=True):
            row = shares.setdefault(power, [None] * len(last))
            row[column] = (more + less) / s["count"] or None
    return {
        "activations": stds(result),
        "gradients": stds(result, "gradient"),
        "magnitudes": {power: row for power, row in shares.items() if any(row)},
        "silent": [e["units"]["dead"] / e["units"]["width"] for e in last],
    }


def _plain(drawn: Any) -> Any:
    """A heat map's rows by power of two; a curve as it is."""
    if drawn and isinstance(drawn[0], list):
        return {power: row for power, row in drawn if any(row)}
    return drawn
