"""The forms of a run's charts by depth: what the Lab's show of a network, at one of its steps."""

from __future__ import annotations

from layerscope.app.figures.charts import STILL, Form, axis, label, layout, line

__all__ = ["depth_figures"]

SILENT: Form = {"hoverinfo": "skip", "hovertemplate": None}


def depth_figures() -> Form:
    """``activations`` and ``gradients``: charts and the ``labels`` of their curves, as
    `lab_figures` has them; ``static/js/runs/depth.js`` fills them in order."""
    return {
        "activations": _by_depth("--forward", "std", "|mean|", "--forward-faint"),
        "gradients": _by_depth("--backward", "std of ∂L/∂y", "", "--backward-faint"),
    }


def _by_depth(hue: str, first: str, second: str, second_hue: str) -> Form:
    told = {"hovertemplate": "%{text}: %{y:.3g}<extra></extra>"}
    return {
        "data": [
            {**line("the first step", "--ghost", 1.5), **told},
            {**line(second, second_hue, 1.1), **SILENT},
            {
                **line(first, hue, 2),
                **told,
                "mode": "lines+markers",
                "marker": {"size": 4, "color": f"var({hue})"},
            },
            {  # what has no place on a logarithmic axis
                "type": "scatter",
                "mode": "markers",
                "name": "not finite, or 0",
                "cliponaxis": False,
                "hovertemplate": "%{text}<extra></extra>",
            },
        ],
        "layout": _layout(),
        "labels": [
            label(2, 0.84, "top", hue),
            label(1, 0.84, "bottom", hue),
            label(0, 0.2, "top", "--ink-2"),
        ],
    }


def _layout() -> Form:
    return layout(
        margin={"l": {"rem": 2.75}, "r": {"rem": 0.7}, "t": {"rem": 0.5}, "b": {"rem": 1.35}},
        hovermode="closest",
        hoverdistance=-1,
        xaxis=axis(**STILL, showgrid=False),
        yaxis=axis(**STILL, type="log"),
    )
