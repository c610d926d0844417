"""The forms of the Lab's charts, sent once a page: traces without data, layouts without ranges.
What follows are arrays, by which ``static/js/lab/charts.js`` fills the traces, in order."""

from __future__ import annotations

from functools import cache
from typing import Any

from layerscope.app.figures.charts import STILL, Form, axis, formats, label, layout, line

__all__ = ["lab_figures"]

SILENT: Form = {"hoverinfo": "skip", "hovertemplate": None}  # when pointed at


@cache
def lab_figures() -> Form:
    """``charts`` by name, ``scales`` (colours of magnitudes by tensor), ``formats`` (limits).

    A chart's ``labels`` are those of its curves: the trace, where along it (0 to 1) its name is
    written, whether above or below it, or over it alone, and in which colour."""
    return {
        "charts": {
            "activations": _by_layer("--forward", "std", "|mean|", "--forward-faint"),
            "gradients": _by_layer("--backward", "std of ∂L/∂y", "‖∂L/∂w‖", "--backward"),
            "magnitudes": _magnitudes(),
            "silent": _silent(),
        },
        "scales": {
            "activations": _scale("f"),
            "gradients": _scale("b"),
            "weights": _scale("n"),
        },
        "formats": formats(),
    }


def _scale(hue: str) -> list[list[Any]]:
    """Faint shares must show, so that the colour goes about with the share's square root."""
    stops = (0.02, f"--heat-{hue}1"), (0.3, f"--heat-{hue}2"), (1.0, f"--heat-{hue}3")
    return [[0.0, "--heat-0"], *map(list, stops)]


def _layout(y: Form) -> Form:
    return layout(
        margin={"l": {"rem": 2.75}, "r": {"rem": 0.7}, "t": {"rem": 0.35}, "b": {"rem": 2.1}},
        hovermode="x",
        hoverdistance=-1,
        bargap=0.15,
        xaxis=axis(
            **STILL,
            tick0=0,
            showgrid=False,
            title={"text": "layer", "standoff": 3, "font": {"size": "var(--text-xs)"}},
        ),
        yaxis=axis(**STILL, **y),
    )


def _by_layer(hue: str, first: str, second: str, second_hue: str) -> Form:
    log = {"type": "log"}
    return {
        "data": [
            {**line("pinned", "--ghost", 1.5), **SILENT},
            {
                **line("95 of 100 seeds", "--theory", 0),
                "fill": "toself",
                "fillcolor": "var(--theory-tint)",
                **SILENT,
            },
            line("theory", "--theory", 1.5, dash="dash"),
            line(second, second_hue, 1.1),
            {
                **line(first, hue, 2),
                "mode": "lines+markers",
                "marker": {"size": 4, "color": f"var({hue})"},
            },
        ],
        "layout": _layout(log),
        "labels": [
            label(4, 0.84, "top", hue),
            label(3, 0.84, "bottom", hue),
            label(2, 0.2, "top", "--theory"),
            label(1, 0.6, "inside", "--theory"),
        ],
    }


def _magnitudes() -> Form:
    heat = {
        "type": "heatmap",
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": "2<sup>%{y}</sup>: %{z:.1%}<extra></extra>",
    }
    power = {"showgrid": False}
    return {"data": [heat], "layout": _layout(power)}


def _silent() -> Form:
    share = {"tickformat": ".0%", "range": [0, 1.02], "dtick": 0.25}
    return {
        "data": [
            {**line("pinned", "--ghost", 1.5, shape="hvh"), **SILENT},
            {
                "type": "bar",
                "name": "dead units",
                "marker": {"color": "var(--forward)", "line": {"width": 0}},
                "hovertemplate": "%{y:.1%}",
            },
            {**line("zeros", "--ink-3", 1.25), "hovertemplate": "%{y:.1%}"},
            {**line("saturated", "--ink-3", 1.25, dash="dot"), "hovertemplate": "%{y:.1%}"},
        ],
        "layout": _layout(share),
        "labels": [
            label(1, 0.5, "over", "--forward"),
            label(2, 0.2, "top", "--ink-2"),
            label(3, 0.84, "top", "--ink-2"),
        ],
    }
