"""The page of an analysis that has none of its own: its figures, as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from layerscope.app.figures.text import shown
from layerscope.app.pages.why.frame import View
from layerscope.engine.analyses.base import Analysis, AnalysisResult

__all__ = ["Figure", "FiguresView", "figures_view"]

MOST_LISTED = 12
"""Entries of a list that are written out; of more, only the number is told."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: where it stands in the JSON, and its value in words."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FiguresView:
    """What the template draws."""

    formula: str
    source: str
    figures: tuple[Figure, ...]


def figures_view(analysis: Analysis) -> View:
    """The plain page of ``analysis``."""
    first = ("activation", "init", "init_scale", "depth", "width")
    return View(
        analysis.name, analysis.title, analysis.help, first,
        partial(_picture, analysis.formula, analysis.source), template="figures.html",
    )  # fmt: skip


def _picture(formula: str, source: str, found: AnalysisResult) -> FiguresView:
    answer = {k: v for k, v in found.to_dict().items() if k != "experiment"}
    return FiguresView(formula, source, tuple(_figures("", answer)))


def _figures(name: str, value: Any) -> Iterator[Figure]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _figures(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple) and any(isinstance(v, dict | list | tuple) for v in value):
        for at, inner in enumerate(value[:MOST_LISTED]):
            yield from _figures(f"{name}[{at}]", inner)
        if len(value) > MOST_LISTED:
            yield Figure(name, f"{len(value)} entries, {MOST_LISTED} of them shown")
    elif isinstance(value, list | tuple):
        words = ", ".join(map(_words, value[:MOST_LISTED]))
        yield Figure(name, words + (f", … ({len(value)})" if len(value) > MOST_LISTED else ""))
    else:
        yield Figure(name, _words(value))


def _words(value: Any) -> str:
    return shown(value) if value is None or isinstance(value, float) else str(value)
