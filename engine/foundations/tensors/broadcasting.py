"""Broadcasting: how shapes are aligned from the right, which axes stretch, and which fail.

Shapes, strides, storage and messages are torch's own, read from tensors without memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.record import Record, shape_text
from layerscope.engine.foundations.tensors.indexing import Index, IndexStep, parse_index
from layerscope.engine.foundations.tensors.literals import MAX_AXES

__all__ = [
    "MAX_ELEMENTS", "Axis", "AxisSize", "Broadcast", "BroadcastOperand", "Operand", "broadcast",
]  # fmt: skip

MAX_ELEMENTS = 2**50
"""Elements of an operand or a result: its bytes stay below 2^53, exact in any reader of JSON."""
REAL_ELEMENTS = 2**16
"""Operands up to here are allocated for real, to compare the addresses before and after."""
ITEM_BYTES = 4  # float32
NAMES = "abcd"


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor of a given ``shape``, and the ``index`` applied to it before it is broadcast."""

    shape: tuple[int, ...]
    index: Index | str = ""


@dataclass(frozen=True, slots=True)
class AxisSize(Record):
    """One operand's part in one axis."""

    size: int | None
    """None where the operand has no such axis: it counts as 1."""
    role: str
    """``kept``, ``added`` (missing, so a 1), ``stretched`` (that 1, or its own, is read again and
    again: stride 0), or ``clash`` (one of the sizes that cannot both be)."""
    text: str


@dataclass(frozen=True, slots=True)
class Axis(Record):
    """One column of the alignment."""

    axis: int
    """Counted from the left, in the result."""
    from_right: int
    """The same axis counted from the right, where the comparison starts: -1 is the last."""
    sizes: tuple[AxisSize, ...]
    status: str
    """``equal`` (a missing size counts as 1), ``stretched`` or ``failed``."""
    result: int | None
    explanation: str


@dataclass(frozen=True, slots=True)
class BroadcastOperand(Record):
    """One operand from its own shape to its expanded view."""

    name: str
    original_shape: tuple[int, ...]
    original_text: str
    steps: tuple[IndexStep, ...]
    expression: str
    """The operand with its indexing, for example ``a[:, None]``."""
    shape: tuple[int, ...]
    shape_text: str
    strides: tuple[int, ...]
    expanded_shape: tuple[int, ...] | None
    """None, like all that follows, when the shapes do not fit."""
    expanded_strides: tuple[int, ...] | None
    """Steps through memory, in elements: 0 on a stretched axis stays where it is."""
    elements_stored: int
    bytes_stored: int
    elements_seen: int | None
    bytes_seen: int | None
    bytes_after: int | None
    """Bytes of the expanded view's storage, by torch; as many as before: nothing was copied."""
    same_data_ptr: bool | None
    """Whether the expanded view starts at the same address; None if too large to allocate."""


@dataclass(frozen=True, slots=True)
class Broadcast(Record):
    """The whole of a broadcast, whether it works or not."""

    operands: tuple[BroadcastOperand, ...]
    axes: tuple[Axis, ...]
    """From left to right; rules are applied from the right."""
    ok: bool
    shape: tuple[int, ...] | None
    shape_text: str
    strides: tuple[int, ...] | None
    """Of a new tensor of the result's shape."""
    elements: int | None
    bytes: int | None
    failed_axis: int | None
    """The failing axis found first, from the right; counted from the left."""
    explanation: str
    trap: str
    """What becomes of two operands of equally many elements whose axes differ; else empty."""
    message: str
    """Torch's own error; empty when the shapes fit."""


def broadcast(operands: Sequence[Operand | tuple[int, ...]]) -> Broadcast:
    """Align two to four shapes and say what torch makes of them.

    Two sizes are compatible where they are equal, or one is 1 or missing; the result has the other.
    An empty axis (0) is no exception: 1 is repeated no times.

    Args:
        operands: shapes, or `Operand` with an indexing applied first. Elements are float32.

    Errors:
        ``ValueError`` for another number of operands; `ShapeError` where an indexing does not fit
        its shape; `LiteralError` for one that cannot be read; `LimitError` beyond `MAX_ELEMENTS`.

    >>> result = broadcast([Operand((3,), "[:, None]"), (3, 4)])
    >>> result.shape, result.operands[0].expanded_strides
    ((3, 4), (1, 0))
    >>> broadcast([(2,), (2, 3)]).explanation
    'axis 1 fails: a has 2, b has 3; they must be equal, or one of them 1'
    """
    if not 2 <= len(operands) <= len(NAMES):
        raise ValueError(f"{len(operands)} shapes given; expected 2 to {len(NAMES)}")
    given = [entry if isinstance(entry, Operand) else Operand(entry) for entry in operands]
    for name, operand in zip(NAMES, given, strict=False):
        _check_shape(name, operand.shape)
    views = [_indexed(operand) for operand in given]
    shapes = [tuple(tensor.shape) for tensor, _ in views]
    axes = _align(shapes)
    failed = [axis for axis in axes if axis.status == "failed"]
    shape = None if failed else tuple(axis.result or 0 for axis in axes)
    if shape is not None:
        _check_elements("the result", shape)
    rows = tuple(
        _operand(name, operand, steps, tensor, shape)
        for name, operand, (tensor, steps) in zip(NAMES, given, views, strict=False)
    )
    first = failed[-1] if failed else None  # the first one met, coming from the right
    return Broadcast(
        operands=rows,
        axes=axes,
        ok=shape is not None,
        shape=shape,
        shape_text="" if shape is None else shape_text(shape),
        strides=None if shape is None else torch.empty(shape, device="meta").stride(),
        elements=None if shape is None else math.prod(shape),
        bytes=None if shape is None else math.prod(shape) * ITEM_BYTES,
        failed_axis=None if first is None else first.axis,
        explanation=f"the result has shape {shape_text(shape or ())}"
        if first is None
        else f"axis {first.axis} fails: {first.explanation}",
        trap="" if shape is None else _trap(shapes),
        message="" if first is None else _message(shapes),
    )


def _trap(shapes: list[tuple[int, ...]]) -> str:
    """Named where it is sprung: outputs (N, 1) and targets (N,), whose difference is (N, N)."""
    for (i, a), (j, b) in combinations(enumerate(shapes), 2):
        count = math.prod(a)
        if len(a) == len(b) or count != math.prod(b):
            continue
        together = math.prod(np.broadcast_shapes(a, b))
        if together <= count:
            continue
        meets = ""
        if together == count**2:
            meets = f": each of {NAMES[i]} meets each of {NAMES[j]}"
        return (
            f"the {count} elements of {NAMES[i]} {shape_text(a)} and the {count} of {NAMES[j]} "
            f"{shape_text(b)} make {together}{meets}. If these are a network's outputs and their "
            f"targets, the loss compares outputs with targets that are not theirs; give both one "
            f"shape, by squeeze(-1) or [..., None]"
        )
    return ""


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) > MAX_AXES:
        raise LimitError(f"axes of {name} {shape_text(shape)}", MAX_AXES, len(shape))
    if any(size < 0 for size in shape):
        raise ValueError(f"{name} has shape {shape_text(shape)}; a size is never below 0")
    _check_elements(name, shape)


def _check_elements(name: str, shape: tuple[int, ...]) -> None:
    elements = math.prod(max(size, 1) for size in shape)  # strides treat an empty axis as 1
    if elements > MAX_ELEMENTS:
        raise LimitError(f"elements of {name} {shape_text(shape)}", MAX_ELEMENTS, elements)


def _indexed(operand: Operand) -> tuple[Tensor, tuple[IndexStep, ...]]:
    """The operand as a tensor, of real memory where it is small, and after its indexing."""
    index = parse_index(operand.index) if isinstance(operand.index, str) else operand.index
    real = math.prod(operand.shape) <= REAL_ELEMENTS
    base = torch.empty(operand.shape, device="cpu" if real else "meta")
    return index.apply(base)


def _align(shapes: list[tuple[int, ...]]) -> tuple[Axis, ...]:
    """Compare the sizes axis by axis, from the right."""
    count = max(map(len, shapes))
    columns: list[Axis] = []
    for from_right in range(-1, -count - 1, -1):
        sizes = [shape[from_right] if -from_right <= len(shape) else None for shape in shapes]
        columns.append(_axis(count + from_right, from_right, sizes))
    return tuple(reversed(columns))


def _axis(axis: int, from_right: int, sizes: list[int | None]) -> Axis:
    distinct = list(dict.fromkeys(size for size in sizes if size is not None and size != 1))
    if len(distinct) > 1:
        status, result = "failed", None
    else:
        result = distinct[0] if distinct else 1
        present = {1 if size is None else size for size in sizes}
        status = "equal" if present == {result} else "stretched"
    entries = tuple(
        AxisSize(size, _role(size, result), "missing" if size is None else str(size))
        for size in sizes
    )
    return Axis(axis, from_right, entries, status, result, _explain(sizes, distinct))


def _role(size: int | None, result: int | None) -> str:
    if size is None:
        return "added" if result in (None, 1) else "stretched"
    if result is None:
        return "kept" if size == 1 else "clash"
    return "kept" if size == result else "stretched"


def _explain(sizes: list[int | None], distinct: list[int]) -> str:
    """One axis in words; ``distinct`` are the sizes other than 1."""
    if len(distinct) > 1:
        has = [f"{NAMES[sizes.index(size)]} has {size}" for size in distinct[:2]]
        return f"{', '.join(has)}; they must be equal, or one of them 1"
    result = distinct[0] if distinct else 1
    parts = []
    for name, size in zip(NAMES, sizes, strict=False):
        times = "once" if result == 1 else f"{result} times"
        if size is None:
            parts.append(f"{name} has no such axis: a 1 is added, and read {times}")
        elif size != result:
            parts.append(f"{name}'s 1 is read {times}")
    return "; ".join(parts) or f"all have {result}"


def _operand(
    name: str,
    operand: Operand,
    steps: tuple[IndexStep, ...],
    tensor: Tensor,
    result: tuple[int, ...] | None,
) -> BroadcastOperand:
    shape = tuple(tensor.shape)
    expanded = None if result is None else tensor.expand(result)
    seen = None if result is None else math.prod(result)
    return BroadcastOperand(
        name=name,
        original_shape=tuple(operand.shape),
        original_text=shape_text(operand.shape),
        steps=steps,
        expression=name + "".join(step.text for step in steps),
        shape=shape,
        shape_text=shape_text(shape),
        strides=tensor.stride(),
        expanded_shape=result,
        expanded_strides=None if expanded is None else expanded.stride(),
        elements_stored=math.prod(operand.shape),
        bytes_stored=tensor.untyped_storage().nbytes(),
        elements_seen=seen,
        bytes_seen=None if seen is None else seen * ITEM_BYTES,
        bytes_after=None if expanded is None else expanded.untyped_storage().nbytes(),
        same_data_ptr=None if expanded is None or tensor.is_meta else _same_start(tensor, expanded),
    )


def _same_start(tensor: Tensor, expanded: Tensor) -> bool:
    """Asks the storages: the view of an empty result has no address of its own."""
    same_storage = expanded.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    return same_storage and expanded.storage_offset() == tensor.storage_offset()


def _message(shapes: list[tuple[int, ...]]) -> str:
    """What torch says of these shapes; a single number stands in for every tensor."""
    try:
        stand_ins = [torch.empty(()).expand(shape) for shape in shapes]
        torch.broadcast_tensors(*stand_ins)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"torch broadcasts {shapes}")
