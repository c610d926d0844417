"""Tensors as grids of cells called ``name:flat``; a result's cell lights up those that made it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from layerscope.engine.foundations.record import value_text
from layerscope.engine.foundations.tensors.display import TensorDisplay

__all__ = ["Grid", "GridCell", "GridPlane", "Source", "cells", "grid"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a cell of a result came from."""

    query: str
    """The state in which this cell is the chosen one."""
    cells: str
    """The cells that made it, by name, separated by spaces."""
    text: str
    """The cell as arithmetic."""


@dataclass(frozen=True, slots=True)
class GridCell:
    """One cell."""

    name: str
    text: str
    css: str
    source: Source | None
    current: bool


@dataclass(frozen=True, slots=True)
class GridPlane:
    """The last two axes, at one place of those before."""

    label: str
    rows: tuple[tuple[GridCell, ...], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A whole tensor."""

    name: str
    shape: str
    dtype: str
    planes: tuple[GridPlane, ...]
    empty: bool


def cells(name: str, flats: Collection[int]) -> str:
    """Names of cells, as `Source` lists them.

    >>> cells("x", (0, 3))
    'x:0 x:3'
    """
    return " ".join(f"{name}:{flat}" for flat in flats)


def grid(
    name: str,
    view: TensorDisplay,
    *,
    lit: Collection[int] = (),
    sources: Mapping[int, Source] | None = None,
    current: int | None = None,
    groups: Mapping[int, int] | None = None,
) -> Grid:
    """``view`` as a grid called ``name``; cells are told by their place, flat.

    ``lit`` are those that made the chosen one, ``current``; cells with ``sources`` become links;
    ``groups`` is the number of the result cell that each is folded into.
    """

    def one(flat: int, value: float) -> GridCell:
        css = ["lit"] if flat in lit else []
        if groups is not None:
            css.append(f"g{groups[flat] % 8}")
        if not math.isfinite(value):
            css.append("nonfinite")
        source = sources[flat] if sources else None
        return GridCell(f"{name}:{flat}", value_text(value), " ".join(css), source, flat == current)

    planes = tuple(
        GridPlane(p.label, tuple(tuple(one(c.flat, c.value) for c in row) for row in p.rows))
        for p in view.planes
    )
    return Grid(name, view.shape_text, view.dtype, planes, view.elements == 0)
