"""The forms of the race's charts; ``js/foundations/matmul.js`` fills their traces in this order."""

from __future__ import annotations

from layerscope.app.figures.charts import Form, axis, font, layout
from layerscope.engine.foundations.matmul import MATMULS, SIZES

__all__ = ["matmul_figures"]

HUES = ("--forward", "--backward", "--vanish-2", "--good", "--warn", "--fault", "--ink-3")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
DASHES = ("solid", "dash", "dot")
TIMES = {1e-7: "100 ns", 1e-6: "1 µs", 1e-5: "10 µs", 1e-4: "100 µs", 1e-3: "1 ms", 1e-2: "10 ms",
         0.1: "100 ms", 1: "1 s", 10: "10 s", 100: "100 s"}  # fmt: skip


def matmul_figures() -> Form:
    """``race`` and ``scaling``, and ``marks``: how each variant is drawn in the second."""
    marks = {
        name: {
            "color": f"var({HUES[i % len(HUES)]})",
            "symbol": SYMBOLS[i % len(SYMBOLS)] + ("-open" if i >= len(HUES) else ""),
            "dash": DASHES[i // len(HUES) % len(DASHES)],
        }
        for i, name in enumerate(MATMULS)
    }
    return {"race": _race(), "scaling": _scaling(marks), "order": list(MATMULS)}


def _race() -> Form:
    bar = {
        "type": "bar",
        "orientation": "h",
        "cliponaxis": False,
        "textposition": "outside",
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "textfont": font("--ink"),
    }
    notes = {
        "type": "scatter",
        "mode": "markers",
        "name": "the notes",
        "marker": {
            "symbol": "line-ns",
            "size": 16,
            "line": {"color": "var(--theory)", "width": 2.5},
        },
        "hovertemplate": "the notes: %{text}<extra></extra>",
    }
    return {
        "data": [bar, notes],
        "layout": layout(
            margin={"l": {"rem": 10.5}, "r": {"rem": 4.5}, "t": {"rem": 0.3}, "b": {"rem": 1.6}},
            bargap=0.35,
            xaxis=axis(
                type="log",
                tickvals=[*TIMES, 1000],
                ticktext=[*TIMES.values(), "1000 s"],
            ),
            yaxis=axis(type="category", autorange="reversed", showgrid=False),
        ),
    }  # fmt: skip


def _scaling(marks: dict[str, Form]) -> Form:
    lines = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": MATMULS[name].title,
            "marker": {"color": m["color"], "symbol": m["symbol"], "size": 7},
            "hovertemplate": "n = %{x}: %{text}<extra>%{fullData.name}</extra>",
        }
        for name, m in marks.items()
    ]
    fits = [
        {
            "type": "scatter",
            "mode": "lines",
            "hoverinfo": "skip",
            "showlegend": False,
            "line": {"color": m["color"], "width": 1.5, "dash": m["dash"]},
        }
        for m in marks.values()
    ]
    return {
        "data": [*lines, *fits],
        "layout": layout(
            margin={"l": {"rem": 4}, "r": {"rem": 1}, "t": {"rem": 0.4}, "b": {"rem": 6.5}},
            hovermode="closest",
            showlegend=True,
            legend={"orientation": "h", "x": 0, "y": -0.16, "yanchor": "top"},
            xaxis=axis(
                type="log", tickvals=list(SIZES), title={"text": "n", "standoff": 4},
                range=[-0.1, 3.15],
            ),
            yaxis=axis(
                type="log",
                tickvals=[*TIMES, 1e3, 1e4],
                ticktext=[*TIMES.values(), "1,000 s", "10,000 s"],
            ),
        ),
    }  # fmt: skip
