"""What tests of the Lab share: the API's numbers, and the moments at which the page has them."""

from __future__ import annotations

import json
import urllib.request
from functools import cache
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.serving import until

__all__ = [
    "AWAIT",
    "GRADIENT",
    "HEAT",
    "STD",
    "api",
    "cold",
    "drawn",
    "ends",
    "idle",
    "settle",
    "stds",
]

STD = "document.querySelector('#chart-activations .plot').data[4].y"
GRADIENT = "document.querySelector('#chart-gradients .plot').data[4].y"
HEAT = "document.querySelector('#chart-magnitudes .plot').data[0].z"

# Resolves when the experiment with this init scale is complete and drawn.
AWAIT = """(wanted) => new Promise((done) => document.addEventListener("lab:drawn", ({detail}) =>
  detail.complete && detail.experiment.init_scale === wanted && done()))"""


@cache
def api(url: str, query: str = "") -> dict[str, Any]:
    """A whole result, asked for once: it is the same numbers every time."""
    with urllib.request.urlopen(f"{url}/api/v1/experiment?{query}") as answer:  # noqa: S310
        result: dict[str, Any] = json.load(answer)
        return result


def cold(page: Page, url: str, query: str) -> None:
    """The page of this experiment, with its four charts."""
    page.goto(f"{url}/?{query}")
    until(page, "document.querySelectorAll('.plot .main-svg').length >= 4")


def ends(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The last layer of every block."""
    last = {layer["block"]: layer for layer in result["layers"]}
    return [last[block] for block in sorted(last)]


def stds(result: dict[str, Any], tensor: str = "activation") -> list[float | None]:
    return [abs(s["std"]) if s["std"] else None for s in (e[tensor] for e in ends(result))]


def settle(page: Page, verdict: str) -> None:
    idle(page)
    expect(page.locator("#verdict h2")).to_contain_text(verdict)


def idle(page: Page) -> None:
    """Waits until the stream that an input has started is at its end, and drawn."""
    until(page, "document.querySelector('.bench').ariaBusy !== 'true'")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def drawn(page: Page, trace: str) -> list[float | None]:
    """The numbers of a trace; whole ones come from the browser as shortened integers."""
    return [None if v is None else float(v) for v in page.evaluate(trace)]
