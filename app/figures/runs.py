"""The forms of a run's two charts, and how each quantity is coloured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from layerscope.app.figures.charts import Form, axis, layout

__all__ = ["DISPLAYS", "Display", "run_figures"]

MAGNITUDE = [[0.0, "--vanish"], [0.25, "--vanish-2"], [0.5, "--hold"], [0.75, "--explode-2"],
             [1.0, "--explode"]]  # fmt: skip
SHARE = [[0.0, "--heat-0"], [0.02, "--heat-f1"], [0.3, "--heat-f2"], [1.0, "--heat-f3"]]
COUNT = [[0.0, "--heat-0"], [1.0, "--fault"]]


@dataclass(frozen=True, slots=True)
class Display:
    """How a quantity is shown: on a linear scale from 0 to ``span``, or, where ``log``, by powers
    of ten, ``span`` of them to either side of ``centre``; None: of the median of what is shown."""

    title: str
    note: str
    scale: list[list[Any]]
    span: float
    log: bool = True
    centre: float | None = None


DISPLAYS: dict[str, Display] = {
    "std": Display("Activation", "std of the output, against 1", MAGNITUDE, 4, centre=1),
    "mean": Display("Activation mean", "|mean| of the output, against 1", MAGNITUDE, 4, centre=1),
    "gradient_std": Display(
        "Gradient", "std of ∂L/∂output, against the median of what is shown", MAGNITUDE, 4
    ),
    "weight_std": Display("Weight", "std, against the median of what is shown", MAGNITUDE, 2),
    "weight_gradient_norm": Display(
        "Weight gradient", "‖∂L/∂w‖, against the median of what is shown", MAGNITUDE, 4
    ),
    "update_ratio": Display("Update", "rms(Δw) / rms(w), against 1/1000", MAGNITUDE, 3,
                            centre=1e-3),
    "dead_share": Display("Dead units", "share of the units", SHARE, 1, log=False),
    "nonfinite": Display("Not finite", "NaN and infinite entries", COUNT, 1, log=False),
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
            name: {"scale": d.scale, "span": d.span, "log": d.log, "centre": d.centre}
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
                "hovertemplate": "%{y}<br>step %{x}: %{customdata:.3g}<extra></extra>",
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
