"""Broadcasting: shapes aligned, stretched axes marked, memory stored against seen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any
from urllib.parse import urlencode

from layerscope.app.figures.alignment import Alignment, alignment
from layerscope.app.forms import Form
from layerscope.app.foundations.step import Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Specification, Text, parameter
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.record import shape_text
from layerscope.engine.foundations.tensors import broadcasting
from layerscope.engine.foundations.tensors.broadcasting import Broadcast, BroadcastOperand, Operand
from layerscope.engine.foundations.tensors.indexing import Index, parse_index
from layerscope.engine.foundations.tensors.literals import parse_shape

__all__ = ["STEP", "BroadcastingForm", "BroadcastingPicture", "Expanded", "Memory"]

NAMES = "abcd"


def _shape(text: str) -> tuple[int, ...]:
    if not text.strip():
        raise ValueError("nothing typed; expected a shape, such as 3, 1 (a number's is ())")
    return parse_shape(text)


Shape = Annotated[tuple[int, ...], Text(_shape)]
OptionalShape = Annotated[
    tuple[int, ...] | None, Text(lambda text: _shape(text) if text.strip() else None)
]
Indexing = Annotated[Index, Text(parse_index)]
SIZES = "Sizes separated by commas; () is a number's shape."
NONE = f"{SIZES} Empty: no such operand."


def _indexed(name: str) -> Any:
    return parameter(
        "", f"{name} indexed by",
        "Adds axes of size 1: [:, None], [..., None], unsqueeze(1), or several in a row.",
    )  # fmt: skip


class BroadcastingForm(Specification):
    """Two to four shapes, each with an indexing applied first."""

    a: Shape = parameter("3", "a", SIZES)
    a_index: Indexing = _indexed("a")
    b: Shape = parameter("3, 3", "b", SIZES)
    b_index: Indexing = _indexed("b")
    c: OptionalShape = parameter("", "c", NONE)
    c_index: Indexing = _indexed("c")
    d: OptionalShape = parameter("", "d", NONE)
    d_index: Indexing = _indexed("d")


def _answer(asked: BroadcastingForm, _: ShouldStop) -> Broadcast:
    operands: list[Operand] = []
    for name in NAMES:
        shape: tuple[int, ...] | None = getattr(asked, name)
        index: Index = getattr(asked, f"{name}_index")
        if shape is None:
            if index.steps:
                raise FieldError(f"{name}_index", f"there is no {name} to be indexed")
            continue
        if len(operands) < NAMES.index(name):
            gap = f"{NAMES[len(operands)]} is empty; expected shapes without a gap"
            raise FieldError(name, gap)
        try:
            # Alone, so that a refusal finds its field.
            broadcasting.broadcast([Operand(shape, index), ()])
        except ShapeError as error:
            raise FieldError(f"{name}_index", str(error)) from None
        except ValueError as error:
            raise FieldError(name, str(error)) from None
        operands.append(Operand(shape, index))
    return broadcasting.broadcast(operands)


EXAMPLES: tuple[tuple[str, dict[str, str]], ...] = (
    ("Vector to matrix: c + m", {}),
    ("Number to vector: a > 0", {"b": "()"}),
    ("Number to matrix: (m − 5)", {"a": "3, 3", "b": "()"}),
    ("Vector to two rows", {"b": "2, 3"}),
    ("Does not fit: (2,) and (2, 3)", {"a": "2", "b": "2, 3"}),
    ("Along columns: c.unsqueeze(1)", {"a_index": "unsqueeze(1)"}),
    ("The same: c[:, None]", {"a_index": "[:, None]"}),
    ("The same: c[..., None]", {"a_index": "[..., None]"}),
    ("Along rows: c[None]", {"a_index": "[None]"}),
    ("Outer: c[None, :] and c[:, None]",
     {"a_index": "[None, :]", "b": "3", "b_index": "[:, None]"}),
    ("Matmul's row: a[i, :, None] * b", {"a": "784", "a_index": "[:, None]", "b": "784, 10"}),
    ("Images by channel: (256, 256, 3) and (3,)", {"a": "256, 256, 3", "b": "3"}),
    ("Four operands", {"a": "8, 1, 6, 1", "b": "7, 1, 5", "c": "5", "d": "8, 1, 1, 1"}),
)  # fmt: skip
"""Of each its title, and what it has other than the form's defaults."""
DRAWN = 12
"""Longest axis of a view that is drawn cell by cell."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """An operand as the operation sees it."""

    call: str
    rows: tuple[tuple[tuple[int, bool], ...], ...]
    """Of each cell the place in storage that it reads, and whether one before it did."""


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


def _picture(_: Form[BroadcastingForm], done: Broadcast) -> BroadcastingPicture:
    return BroadcastingPicture(
        alignment=alignment(done),
        expanded=tuple(_expanded(o) for o in done.operands) if _drawable(done) else (),
        memory=tuple(_memory(o) for o in done.operands) if done.ok else (),
        examples=tuple((title, urlencode(changes)) for title, changes in EXAMPLES),
    )


def _drawable(done: Broadcast) -> bool:
    shape = done.shape
    return shape is not None and 1 <= len(shape) <= 2 and all(0 < size <= DRAWN for size in shape)


def _expanded(operand: BroadcastOperand) -> Expanded:
    """Each cell shows the place in storage that it reads, by the strides torch reports."""
    shape, strides = operand.expanded_shape or (), operand.expanded_strides or ()
    seen: set[int] = set()
    flat: list[tuple[int, bool]] = []
    for index in product(*map(range, shape)):
        place = sum(i * s for i, s in zip(index, strides, strict=True))
        flat.append((place, place in seen))
        seen.add(place)
    width = shape[-1]
    rows = tuple(tuple(flat[i : i + width]) for i in range(0, len(flat), width))
    return Expanded(f"{operand.expression}.expand{shape_text(shape)}", rows)


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
    name="broadcasting",
    title="Broadcasting",
    lead="Different shapes in one operation: aligned from the right, 1s stretched, nothing copied.",
    form=BroadcastingForm,
    answer=_answer,
    picture=_picture,
    summary="How shapes are aligned, which axes stretch, which fail",
    help="The alignment axis by axis from the right, the result's shape and strides as torch "
    "reports them, bytes stored and bytes seen; or the axis that fails (`ok` is false) and why.",
    example={"ok": True, "shape": [3, 3], "failed_axis": None},
)
