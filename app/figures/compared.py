"""The forms of the two charts in which runs are compared: a line a run, told apart by colour, dash
and the letter at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerscope.app.figures.charts import Form, axis, layout

__all__ = ["DASHES", "compared_figures"]

DASHES = ("solid", "8px 3px", "2px 2px", "9px 3px 2px 3px")
"""By a run's place, over and over; css/compare.css draws the same."""
MARGIN: Form = {"l": {"rem": 3.6}, "r": {"rem": 1.4}, "t": {"rem": 0.5}, "b": {"rem": 1.9}}


def compared_figures(letters: Sequence[str]) -> Form:
    """``loss`` and ``quantity``: for each run its line, then its marks; without data or ranges."""
    traces = [trace for place, letter in enumerate(letters) for trace in _run(place, letter)]
    form = {
        "data": traces,
        "layout": layout(
            margin=MARGIN,
            hovermode="x",
            xaxis=axis(nticks=8),
            yaxis=axis(nticks=6),
        ),
    }
    return {"loss": form, "quantity": form}


def _run(place: int, letter: str) -> list[dict[str, Any]]:
    colour = f"var(--run-{place + 1})"
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": letter,
            "connectgaps": False,
            "line": {"color": colour, "width": 1.8, "dash": DASHES[place % len(DASHES)]},
            "hovertemplate": f"{letter} %{{y:.4g}}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": f"{letter}, not finite",
            "marker": {"color": "var(--fault)", "symbol": "x", "size": 7,
                       "line": {"color": colour, "width": 1}},
            "hovertemplate": f"{letter} not finite<extra></extra>",
        },
    ]  # fmt: skip
