"""Every chart's form is one that Plotly accepts: attributes by name, values of their type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go
import pytest

from layerscope.app.figures.lab import lab_figures
from layerscope.app.figures.matmul import matmul_figures

REM_PIXELS = 16
HUE = "#123456"


def forms(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything below ``value`` that is a chart: it has traces and a layout."""
    if isinstance(value, dict):
        if {"data", "layout"} <= value.keys():
            yield path.strip("."), value
            return
        for name, inner in value.items():
            yield from forms(inner, f"{path}.{name}")


def resolved(value: Any) -> Any:
    """As ``static/js/tokens.js`` does in the browser: tokens to colours or sizes, rem to pixels."""
    if isinstance(value, dict):
        if value.keys() == {"rem"}:
            return value["rem"] * REM_PIXELS
        return {name: resolved(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [resolved(inner) for inner in value]
    if isinstance(value, str) and value.startswith("var(--text-"):
        return REM_PIXELS
    if isinstance(value, str):
        return "monospace" if value == "var(--mono)" else re.sub(r"var\(--[\w-]+\)", HUE, value)
    return value


ALL = {**dict(forms(lab_figures(), "lab")), **dict(forms(matmul_figures(), "matmul"))}


def test_the_charts_are_found() -> None:
    assert {"lab.charts.activations", "lab.charts.magnitudes", "matmul.race"} <= ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_plotly_accepts_the_form(name: str) -> None:
    form = resolved(ALL[name])
    figure = go.Figure(data=form["data"], layout=form["layout"])  # ValueError names what is wrong
    assert len(figure.data) == len(form["data"])


def test_a_misspelt_attribute_would_be_seen() -> None:
    form = resolved(ALL["lab.charts.activations"])
    with pytest.raises(ValueError, match="fixedrnge"):
        go.Figure(data=form["data"], layout={**form["layout"], "yaxis": {"fixedrnge": True}})
