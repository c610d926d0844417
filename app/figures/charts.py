"""What every Plotly chart of ours has: no zoom, one type, colours and sizes of type as
``var(--forward)``, other sizes as ``{"rem": …}``, which ``static/js/tokens.js`` resolves."""

from __future__ import annotations

from typing import Any

import torch

from layerscope.engine.experiment.specification import DTYPES

__all__ = ["STILL", "Form", "axis", "font", "formats", "label", "layout", "line", "literal"]

Form = dict[str, Any]
STILL: Form = {
    "showline": False,
    "autorange": False,
    "automargin": False,
    # Each spares Plotly a measurement of every label at every draw: a third of its time.
    "tickangle": 0,
    "ticklabeloverflow": "allow",
}
"""Of the axes of a chart that is drawn anew many times a second."""


def formats() -> Form:
    """The limits of number formats: ``max``, and ``tiny``, the smallest normal number."""
    return {
        name: {"name": name, "max": torch.finfo(dtype).max, "tiny": torch.finfo(dtype).tiny}
        for name, dtype in DTYPES.items()
    }


def literal(text: str) -> str:
    """``text`` as Plotly is to show it, which takes tags and character references of its own;
    ``static/js/format.js`` has the same.

    >>> literal("<b>&")
    '&lt;b>&amp;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;")


def font(color: str) -> Form:
    """The type of labels."""
    return {"family": "var(--mono)", "size": "var(--text-xs)", "color": f"var({color})"}


def axis(**more: Any) -> Form:
    """An axis, by its grid alone."""
    return {
        "fixedrange": True,
        "gridcolor": "var(--grid)",
        "gridwidth": 1,  # pixel: thinner ones vanish on ordinary screens
        "zeroline": False,
        "ticks": "",
        **more,
    }


def layout(**more: Any) -> Form:
    """A layout without axes."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": font("--ink-2"),
        "showlegend": False,
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": "var(--surface)",
            "bordercolor": "var(--line-strong)",
            "font": font("--ink"),
        },
        **more,
    }


def line(name: str, color: str, width: float, **line: Any) -> Form:
    """A curve over layers, with a gap where nothing is known."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "line": {"color": f"var({color})", "width": width, **line},
        "connectgaps": False,
        "hovertemplate": "%{y:.3g}",
    }


def label(trace: int, at: float, side: str, color: str) -> Form:
    """Where a curve's name is written, see ``static/js/lab/labels.js``."""
    return {"trace": trace, "at": at, "side": side, "color": f"var({color})"}
