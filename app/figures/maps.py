"""The form of a map's picture, and how each outcome is coloured."""

from __future__ import annotations

import math
from typing import Any

from layerscope.app.figures.charts import Form, axis, layout, literal
from layerscope.app.figures.text import number
from layerscope.engine.basis.specification import text_of
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.outcomes import Outcome
from layerscope.engine.maps.plane import Plane

__all__ = ["display", "map_figure"]

MOST_TICKS = 9
SLANT = -50  # degrees: words side by side
LONGEST = 12
"""Characters of a value at an axis."""
SCALES: dict[str, list[list[Any]]] = {
    "magnitude": [[0.0, "--vanish"], [0.25, "--vanish-2"], [0.5, "--hold"], [0.75, "--explode-2"],
                  [1.0, "--explode"]],
    "amount": [[0.0, "--heat-0"], [0.15, "--heat-f1"], [0.55, "--heat-f2"], [1.0, "--heat-f3"]],
    "severity": [[0.0, "--good-soft"], [0.25, "--good-soft"], [0.25, "--heat-n1"],
                 [0.5, "--heat-n1"], [0.5, "--warn"], [0.75, "--warn"], [0.75, "--backward"],
                 [1.0, "--backward"]],
}  # fmt: skip
"""Colours along a scale."""
LINES = {
    "edge": ("--over", "solid"),
    "trainable": ("--over", "dash"),
    "overflow": ("--fault", "dot"),
}
"""Colour and dash of each line of theory; of others those of the second."""


def display(outcome: Outcome) -> Form:
    """How a number becomes a colour: ``log``, ``centre``, ``bounds``, ``levels`` and the scale."""
    ramp = "severity" if outcome.levels else "magnitude" if outcome.centre else "amount"
    return {
        "name": outcome.name, "title": outcome.title, "log": outcome.log,
        "centre": outcome.centre, "bounds": outcome.bounds, "levels": list(outcome.levels),
        "ramp": ramp, "scale": SCALES[ramp], "lines": LINES,
    }  # fmt: skip


def map_figure(plane: Plane) -> Form:
    """``data``: the cells, those without a finite number over them, each line of theory after
    its halo; ``layout``: axes in steps from the first value, so that cells are equally wide."""
    below = 3.2 if plane.x.is_number else 6.5
    return {
        "data": [
            {"type": "heatmap", "showscale": False, "zauto": False, "hoverongaps": False,
             "hovertemplate": "%{customdata}<extra></extra>"},
            {"type": "heatmap", "showscale": False, "zauto": False, "zmin": 0, "zmax": 1,
             "colorscale": [[0, "var(--fault)"], [1, "var(--fault)"]], "hoverongaps": False,
             "hovertemplate": "%{customdata}<extra></extra>"},
            *(_line(color, dash, width) for line in LINES.values()
              for color, dash, width in (("--around", "solid", 5), (*line, 2))),
        ],
        "layout": layout(
            margin={"l": {"rem": 5.5}, "r": {"rem": 0.8}, "t": {"rem": 0.5}, "b": {"rem": below}},
            hovermode="closest",
            xaxis=_axis(plane.x, 0 if plane.x.is_number else SLANT),
            yaxis=_axis(plane.y, 0),
        ),
    }  # fmt: skip


def _line(color: str, dash: str, width: int) -> Form:
    return {
        "type": "scatter", "mode": "lines", "hoverinfo": "skip", "connectgaps": False,
        "line": {"color": f"var({color})", "dash": dash, "width": width},
    }  # fmt: skip


def _axis(of: Axis, angle: float) -> Form:
    places, texts = _ticks(of)
    return axis(
        showgrid=False, tickmode="array", tickvals=places, ticktext=texts, tickangle=angle,
        range=[-0.5, len(of) - 0.5],
        title={"text": literal(of.title + _spread(of)), "font": {"size": {"rem": 0.75}},
               "standoff": 8},
    )  # fmt: skip


def _spread(of: Axis) -> str:
    return "" if of.scale == "linear" or not of.is_number else f" ({of.scale})"


def _ticks(of: Axis) -> tuple[list[int], list[str]]:
    every = 1
    if of.is_number:
        every = max(1, math.ceil(len(of) / MOST_TICKS))
    places = list(range(0, len(of), every))
    return places, [_text(of.values[i]) for i in places]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return number(value) if not value.is_integer() else f"{value:g}"
    text = text_of(value)
    return literal(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
