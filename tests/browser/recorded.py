"""What tests of runs share: the API's answers, and what the page of a run has drawn."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from playwright.sync_api import Page

__all__ = ["COLUMNS", "api", "cells_of", "recorded"]

COLUMNS = "document.querySelector('#chart-map .plot').data?.[0].x.length"


def api(site: str, path: str) -> Any:
    with urllib.request.urlopen(f"{site}/api/v1/{path}") as answer:  # noqa: S310 - our own server
        return json.load(answer)


def recorded(site: str) -> list[int]:
    """Steps of each run."""
    return [run["steps"] for run in api(site, "runs")["runs"]]


def cells_of(page: Page) -> Any:
    """The strip's cells, as classes: a pair a row."""
    return page.evaluate("""[...document.querySelectorAll('#signal .pairs li')].map(pair =>
        [...pair.children].map(cell => [...cell.classList].filter(c => c !== 'cell').join(' ')))""")
