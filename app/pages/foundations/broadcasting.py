"""The broadcasting page: shapes aligned, stretched axes marked, memory stored against seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from layerscope.app.foundations import Reading
from layerscope.app.foundations.broadcasting import BROADCASTING
from layerscope.app.pages.foundations.alignment import Alignment, alignment
from layerscope.app.pages.foundations.step import Step, step_router
from layerscope.engine.foundations.record import shape_text
from layerscope.engine.foundations.tensors.broadcasting import Broadcast, BroadcastOperand

__all__ = ["EXAMPLES", "STEP", "BroadcastingPicture", "Expanded", "GhostCell", "Memory"]

EXAMPLES: tuple[tuple[str, dict[str, str]], ...] = (
    ("Vector to matrix: c + m", {}),
    ("Number to vector: a > 0", {"a": "3", "b": "()"}),
    ("Number to matrix: (m − 5)", {"a": "3, 3", "b": "()"}),
    ("Vector to two rows", {"a": "3", "b": "2, 3"}),
    ("Does not fit: (2,) and (2, 3)", {"a": "2", "b": "2, 3"}),
    ("Along columns: c.unsqueeze(1)", {"a_index": "unsqueeze(1)"}),
    ("The same: c[:, None]", {"a_index": "[:, None]"}),
    ("The same: c[..., None]", {"a_index": "[..., None]"}),
    ("Along rows: c[None]", {"a_index": "[None]"}),
    (
        "Outer: c[None, :] and c[:, None]",
        {"a_index": "[None, :]", "b": "3", "b_index": "[:, None]"},
    ),
    ("Matmul's row: a[i, :, None] * b", {"a": "784", "a_index": "[:, None]", "b": "784, 10"}),
    ("Images by channel: (256, 256, 3) and (3,)", {"a": "256, 256, 3", "b": "3"}),
    ("Four operands", {"a": "8, 1, 6, 1", "b": "7, 1, 5", "c": "5", "d": "8, 1, 1, 1"}),
)  # fmt: skip
DRAWN = 12
"""Longest axis of a view that is drawn cell by cell."""


@dataclass(frozen=True, slots=True)
class GhostCell:
    """One cell of an expanded view: which stored number it reads, and whether again."""

    text: str
    ghost: bool


@dataclass(frozen=True, slots=True)
class Expanded:
    """An operand as the operation sees it."""

    name: str
    call: str
    rows: tuple[tuple[GhostCell, ...], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one operand."""

    name: str
    stored: str
    seen: str
    share: float
    """Of the bar that is stored, in per cent of what is seen; at least a hair's breadth."""
    times: str
    strides: str
    expanded_strides: str
    same: bool | None
    after: str


@dataclass(frozen=True, slots=True)
class BroadcastingPicture:
    """What the template draws."""

    alignment: Alignment
    expanded: tuple[Expanded, ...]
    memory: tuple[Memory, ...]
    examples: tuple[tuple[str, str], ...]


def _picture(reading: Reading, done: Broadcast) -> BroadcastingPicture:
    return BroadcastingPicture(
        alignment=alignment(done),
        expanded=tuple(_expanded(o) for o in done.operands) if _drawable(done) else (),
        memory=tuple(_memory(o) for o in done.operands) if done.ok else (),
        examples=tuple((title, _query(reading, changes)) for title, changes in EXAMPLES),
    )


def _query(reading: Reading, changes: dict[str, str]) -> str:
    return reading.query(**{f.name: f.default for f in reading.fields} | changes)


def _drawable(done: Broadcast) -> bool:
    shape = done.shape
    return shape is not None and 1 <= len(shape) <= 2 and all(0 < size <= DRAWN for size in shape)


def _expanded(operand: BroadcastOperand) -> Expanded:
    """Each cell shows the place in storage that it reads, by the strides torch reports."""
    shape, strides = operand.expanded_shape or (), operand.expanded_strides or ()
    seen: set[int] = set()
    flat: list[GhostCell] = []
    for index in product(*map(range, shape)):
        place = sum(i * s for i, s in zip(index, strides, strict=True))
        flat.append(GhostCell(str(place), place in seen))
        seen.add(place)
    width = shape[-1]
    rows = tuple(tuple(flat[i : i + width]) for i in range(0, len(flat), width))
    return Expanded(operand.name, f"{operand.expression}.expand{shape_text(shape)}", rows)


def _memory(operand: BroadcastOperand) -> Memory:
    stored, seen = operand.bytes_stored, operand.bytes_seen or 0
    return Memory(
        name=operand.expression,
        stored=_bytes(stored),
        seen=_bytes(seen),
        share=round(max(100 * stored / seen, 0.4), 2) if seen else 100.0,
        times=f"{seen / stored:.4g}" if stored else "",
        strides=shape_text(operand.strides),
        expanded_strides=shape_text(operand.expanded_strides or ()),
        same=operand.same_data_ptr,
        after=_bytes(operand.bytes_after or 0),
    )


def _bytes(count: int) -> str:
    """Bytes as a person reads them.

    >>> _bytes(12), _bytes(786432)
    ('12 B', '768 KiB')
    """
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB", "PiB"))
    unit = next(units)
    while size >= 1024 and unit != "PiB":
        size, unit = size / 1024, next(units)
    return f"{size:.4g} {unit}"


STEP = Step(
    "broadcasting",
    "Broadcasting",
    "Different shapes in one operation: aligned from the right, 1s stretched, nothing copied.",
    step_router("broadcasting", BROADCASTING, _picture),
)
