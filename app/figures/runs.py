"""The forms of a run's charts, and how each quantity is coloured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from layerscope.app.figures.charts import Form, axis, formats, layout
from layerscope.app.figures.depth import depth_figures
from layerscope.app.figures.text import raised

__all__ = ["DISPLAYS", "ROWS", "Display", "run_figures"]

SCALES: dict[str, list[list[Any]]] = {
    "magnitude": [[0.0, "--vanish"], [0.25, "--vanish-2"], [0.5, "--hold"], [0.75, "--explode-2"],
                  [1.0, "--explode"]],
    "share": [[0.0, "--heat-0"], [0.02, "--heat-f1"], [0.3, "--heat-f2"], [1.0, "--heat-f3"]],
    "count": [[0.0, "--heat-0"], [1.0, "--fault"]],
}  # fmt: skip
"""Colours along a scale; css/runs.css draws the same as the key's ramps."""

ROWS = {"blocks": "blocks", "modules": "every module"}
"""What the map has a row for, where there are many modules; js/runs/folding.js makes blocks."""


HUES = {"activation": "f", "gradient": "b", "weight": "n"}
"""As the Lab colours magnitudes."""


@dataclass(frozen=True, slots=True)
class Display:
    """How a quantity is shown: on a linear scale from 0 to ``span``, or, where ``log``, by powers
    of ten, ``span`` of them to either side of ``centre``; None: of the median of what is shown.
    ``signed``: it may be negative, and its size is what is drawn."""

    title: str
    note: str
    ramp: str
    span: float
    log: bool = True
    centre: float | None = None
    signed: bool = False

    @property
    def low(self) -> str:
        """What the scale's beginning stands for."""
        return self._end(-1) if self.log else "0"

    @property
    def high(self) -> str:
        """And its end."""
        return self._end(1) if self.log else f"{self.span:g}{' or more' * (self.ramp == 'count')}"

    def _end(self, side: int) -> str:
        factor = f"10{raised(round(side * self.span))}"
        if self.centre is None:
            return f"{factor} of the median"
        power = round(math.log10(self.centre) + side * self.span)
        return f"{'≤' if side < 0 else '≥'}10{raised(power)}"


DISPLAYS: dict[str, Display] = {
    "std": Display("Activation", "std of the output, against 1", "magnitude", 4, centre=1),
    "mean": Display("Activation mean", "|mean| of the output, against 1", "magnitude", 4, centre=1,
                    signed=True),
    "gradient_std": Display(
        "Gradient", "std of ∂L/∂output, against the median of what is shown", "magnitude", 4
    ),
    "weight_std": Display("Weight", "std, against the median of what is shown", "magnitude", 2),
    "weight_gradient_norm": Display(
        "Weight gradient", "‖∂L/∂w‖, against the median of what is shown", "magnitude", 4
    ),
    "update_ratio": Display("Update", "rms(Δw) / rms(w), against 1/1000", "magnitude", 3,
                            centre=1e-3),
    "dead_share": Display("Dead units", "share of the units", "share", 1, log=False),
    "nonfinite": Display("Not finite", "NaN and infinite entries", "count", 1, log=False),
}  # fmt: skip
"""By quantity, in the order in which they are offered."""


@cache
def run_figures() -> Form:
    """``loss``, ``map`` and ``spread``: their traces without data, their layouts without ranges;
    ``depth`` has those of `depth_figures`; ``displays`` has scale, span and whether powers of ten
    are shown, by quantity; ``hues`` has the colours of a tensor's histograms, ``formats`` what
    number formats hold."""
    return {
        "loss": _loss(),
        "map": _map(),
        "spread": _spread(),
        "depth": depth_figures(),
        "hues": {name: _counts(hue) for name, hue in HUES.items()},
        "formats": formats(),
        "displays": {
            name: {"scale": SCALES[d.ramp], "span": d.span, "log": d.log, "centre": d.centre}
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
        "layout": _layout(y={"nticks": 4}),
    }


def _map() -> Form:
    return {
        "data": [
            {
                "type": "heatmap",
                "showscale": False,
                "zauto": False,
                "hoverongaps": False,
                "hovertemplate": "%{y}%{text}<br>step %{x}: %{customdata:.3g}<extra></extra>",
            },
            {  # what is not finite, over whatever the rest would say
                "type": "heatmap",
                "showscale": False,
                "zauto": False,
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "var(--fault)"], [1, "var(--fault)"]],
                "hoverongaps": False,
                "hovertemplate": "%{y}%{text}<br>step %{x}: not finite<extra></extra>",
            },
        ],
        "layout": _layout(y={"autorange": "reversed", "showgrid": False, "type": "category"}),
    }


def _counts(hue: str) -> list[list[Any]]:
    """By the logarithm: one entry alone must show."""
    return [[0.0, f"--heat-{hue}1"], [0.55, f"--heat-{hue}2"], [1.0, f"--heat-{hue}3"]]


def _spread() -> Form:
    """Counts by powers of two, zeros, and what is not finite, whose colour says no number."""
    heat = {
        "type": "heatmap",
        "showscale": False,
        "zauto": False,
        "hoverongaps": False,
        "hovertemplate": "step %{x}<br>%{customdata}<extra></extra>",
    }
    fault = [[0, "var(--fault)"], [1, "var(--fault)"]]
    return {
        "data": [heat, heat, {**heat, "zmin": 0, "zmax": 1, "colorscale": fault}],
        "layout": _layout(y={"showgrid": False}),
    }
