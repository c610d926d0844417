"""A broadcast as a table: shapes aligned from the right, one column an axis."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.engine.foundations.tensors.broadcasting import Axis, Broadcast

__all__ = ["Alignment", "Row", "Slot", "alignment"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One operand's size on one axis."""

    text: str
    css: str
    note: str
    """The role in a word; never colour alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operand."""

    name: str
    shape: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Alignment:
    """The whole table; a column is an axis, with the rule that was applied."""

    columns: tuple[Axis, ...]
    rows: tuple[Row, ...]
    ok: bool
    result: str


def alignment(done: Broadcast) -> Alignment:
    """The table of ``done``."""
    return Alignment(
        columns=done.axes,
        rows=tuple(
            Row(o.expression, o.shape_text, tuple(_slot(axis, at) for axis in done.axes))
            for at, o in enumerate(done.operands)
        ),
        ok=done.ok,
        result=done.shape_text,
    )


def _slot(axis: Axis, at: int) -> Slot:
    entry = axis.sizes[at]
    missing = entry.size is None
    # A size that is not there is shown as the 1 that it counts as.
    note = "" if entry.role == "kept" else entry.role
    if missing:
        note = "missing, stretched" if entry.role == "stretched" else "missing"
    css = f"{entry.role}{' missing' if missing else ''}"
    return Slot("1" if missing else str(entry.size), css, note)
