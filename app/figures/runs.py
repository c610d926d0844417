"""The forms of a run's two charts, and how each quantity is coloured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from layerscope.app.figures.charts import Form, axis, layout

__all__ = ["DISPLAYS", "Display", "run_figures"]

MAGNITUDE = [[0.0, "--vanish"], [0.25, "--vanish-2"], [0.5, "--hold"], [0.75, "--explode-2"],
             [1.0, "--explode"]]  # fmt: skip
SHARE = [[0.0, "--heat-0"], [0.02, "--heat-f1"], [0.3, "--heat-f2"], [1.0, "--heat-f3"]]
COUNT = [[0.0, "--heat-0"], [1.0, "--fault"]]

Values = Iterable[float | None]


@dataclass(frozen=True, slots=True)
class Display:
    """How a quantity is shown: on a linear scale from 0 to ``span``, or, where ``centre`` gives the
    value at its middle, by powers of ten, ``span`` of them to either side."""

    title: str
    note: str
    scale: list[list[Any]]
    span: float
    centre: Callable[[Values], float] | None = None


def _one(_: Values) -> float:
    return 1.0


def _thousandth(_: Values) -> float:
    return 1e-3


def _median(values: Values) -> float:
    """Of the sizes; 1 where there are none."""
    sizes = [abs(v) for v in values if v and math.isfinite(v)]
    return statistics.median(sizes) if sizes else 1.0


DISPLAYS: dict[str, Display] = {
    "std": Display("Activation", "std of the output, against 1", MAGNITUDE, 4, _one),
    "mean": Display("Activation mean", "|mean| of the output, against 1", MAGNITUDE, 4, _one),
    "gradient_std": Display(
        "Gradient", "std of ∂L/∂output, against this run's median", MAGNITUDE, 4, _median
    ),
    "weight_std": Display("Weight", "std, against this run's median", MAGNITUDE, 2, _median),
    "weight_gradient_norm": Display(
        "Weight gradient", "‖∂L/∂w‖, against this run's median", MAGNITUDE, 4, _median
    ),
    "update_ratio": Display("Update", "rms(Δw) / rms(w), against 1/1000", MAGNITUDE, 3,
                            _thousandth),
    "dead_share": Display("Dead units", "share of the units", SHARE, 1),
    "nonfinite": Display("Not finite", "NaN and infinite entries", COUNT, 1),
}  # fmt: skip
"""By quantity, in the order in which they are offered."""


@cache
def run_figures() -> Form:
    """``loss`` and ``map``: their traces without data, their layouts without ranges; ``displays``
    has scale, span and whether powers of ten are shown, by quantity."""
    return {
        "loss": _loss(),
        "map": _map(),
        "displays": {
            name: {"scale": d.scale, "span": d.span, "log": d.centre is not None}
            for name, d in DISPLAYS.items()
        },
    }


MARGIN: Form = {"l": {"rem": 7.5}, "r": {"rem": 0.7}, "t": {"rem": 0.35}, "b": {"rem": 1.35}}


def _layout(**more: Any) -> Form:
    still: Form = {"showline": False, "automargin": False, "tickangle": 0}
    x, y = more.pop("x", {}), more.pop("y", {})
    return layout(
        margin=MARGIN,
        hovermode="closest",
        xaxis=axis(**still, showgrid=False, **x),
        yaxis=axis(**still, **y),
        **more,
    )


def _loss() -> Form:
    line = {
        "type": "scatter",
        "mode": "lines",
        "connectgaps": False,
        "hovertemplate": "step %{x}: %{y:.4g}",
    }
    return {
        "data": [
            {**line, "name": "loss", "line": {"color": "var(--forward)", "width": 1.6}},
            {
                "type": "scatter",
                "mode": "markers",
                "name": "not finite",
                "marker": {"color": "var(--fault)", "symbol": "x", "size": 7},
                "hovertemplate": "step %{x}: not finite",
            },
        ],
        "layout": _layout(y={"exponentformat": "power", "nticks": 4}),
    }


def _map() -> Form:
    return {
        "data": [
            {
                "type": "heatmap",
                "showscale": False,
                "zauto": False,
                "hoverongaps": False,
                "hovertemplate": "%{y}<br>step %{x}: %{customdata}<extra></extra>",
            },
            {  # what is not finite, over whatever the rest would say
                "type": "heatmap",
                "showscale": False,
                "zauto": False,
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "var(--fault)"], [1, "var(--fault)"]],
                "hoverongaps": False,
                "hovertemplate": "%{y}<br>step %{x}: not finite<extra></extra>",
            },
        ],
        "layout": _layout(y={"autorange": "reversed", "showgrid": False, "type": "category"}),
    }
