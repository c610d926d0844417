"""How results of this package become JSON: numbers, tensors cell by cell, and the size limit.

One convention holds for all of them:

- a finite number stands as itself; a NaN or an infinity is ``null``, and its text says which
  (``"nan"``, ``"inf"``, ``"-inf"``);
- a record's float ``x`` has a twin ``x_text``, as short as six significant digits allow;
- a tensor's cell carries ``value`` and ``text`` of the same meaning;
- a series (a list of floats, for a curve) holds ``null`` where it is not finite, without text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from torch import Tensor

__all__ = [
    "MAX_CELLS", "Cell", "LimitError", "Plane", "Record", "ShapeError", "TensorView",
    "cell_text", "cell_value", "check_cells", "join_terms", "plain", "shape_text", "view",
]  # fmt: skip

MAX_CELLS = 1024
"""Cells of one tensor that is shown cell by cell; more is no longer a picture one can read."""

SHOWN_TERMS = 12
"""Terms written out in a text of arithmetic."""


class ShapeError(ValueError):
    """Shapes that do not fit together; the message names both and what was expected."""


class LimitError(ValueError):
    """Something larger than allowed, refused before it is allocated.

    Attributes:
        limit: what is limited, for example ``"cells of the result"``.
        allowed: the largest value permitted.
        asked: the value asked for.
    """

    def __init__(self, limit: str, allowed: int, asked: int) -> None:
        self.limit = limit
        self.allowed = allowed
        self.asked = asked
        super().__init__(f"{limit}: {asked} asked for, at most {allowed} allowed")


def check_cells(what: str, shape: tuple[int, ...], max_cells: int) -> None:
    """Raise `LimitError` when a tensor of this ``shape`` has more than ``max_cells`` elements.

    An empty axis counts as one: its rows, although without cells, would be drawn.
    """
    cells = math.prod(max(size, 1) for size in shape)
    if cells > max_cells:
        raise LimitError(f"cells of {what} {shape_text(shape)}", max_cells, cells)


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as the notes write it.

    >>> shape_text((3, 1)), shape_text((3,)), shape_text(())
    ('(3, 1)', '(3,)', '()')
    """
    return str(tuple(shape))


def cell_value(number: float) -> float | None:
    """The number itself, or None where it is NaN or infinite; an int or a bool stays one."""
    return number if math.isfinite(number) else None


def cell_text(number: float) -> str:
    """The number as a person reads it: six significant digits, ``True``, ``nan``, ``-inf``.

    >>> cell_text(12.0), cell_text(1 / 3), cell_text(True), cell_text(float("-inf"))
    ('12', '0.333333', 'True', '-inf')
    """
    return str(number) if isinstance(number, int) else f"{number:.6g}"  # a bool is an int


def join_terms(texts: Sequence[str], infix: str) -> str:
    """The terms of a sum, or of another fold; a long one is cut short before its last term.

    >>> join_terms(["1", "2", "3"], " + ")
    '1 + 2 + 3'
    """
    if len(texts) > SHOWN_TERMS:
        texts = [*texts[: SHOWN_TERMS - 1], "…", texts[-1]]
    return infix.join(texts)


def plain(value: Any) -> Any:
    """``value`` from dicts, lists, strings, ints, bools, None and finite floats alone."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return cell_value(value) if isinstance(value, float) else value


class Record:
    """A frozen dataclass that becomes JSON by the convention of this module.

    A field with ``metadata={"json": False}`` is left out.
    """

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name; beside a float ``x`` its text, ``x_text``."""
        result: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            if not field.metadata.get("json", True):
                continue
            value = getattr(self, field.name)
            result[field.name] = plain(value)
            if isinstance(value, float):
                result[f"{field.name}_text"] = cell_text(value)
        return result


@dataclass(frozen=True, slots=True)
class Cell(Record):
    """One element of a tensor: where it is and what it holds."""

    index: tuple[int, ...]
    flat: int
    """Position in row-major order, the number by which other records refer to this cell."""
    value: float
    """A float, an int or a bool, as the tensor's dtype."""

    @property
    def text(self) -> str:
        return cell_text(self.value)

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": list(self.index),
            "flat": self.flat,
            "value": cell_value(self.value),
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Plane(Record):
    """The last two axes of a tensor at one place of all the axes before them."""

    prefix: tuple[int, ...]
    label: str
    """How one indexes this plane, ``[0, 1]``; empty when the tensor has at most two axes."""
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class TensorView(Record):
    """A whole tensor, drawn as matrices: a scalar is one cell, a vector one row."""

    shape: tuple[int, ...]
    shape_text: str
    dtype: str
    elements: int
    planes: tuple[Plane, ...]


def view(tensor: Tensor) -> TensorView:
    """Every cell of a small ``tensor``.

    >>> import torch
    >>> view(torch.tensor([10.0, 6, 4])).planes[0].rows[0][1].text
    '6'
    """
    shape = tuple(tensor.shape)
    columns = shape[-1] if shape else 1
    rows = shape[-2] if len(shape) > 1 else 1
    values = tensor.flatten().tolist()
    planes: list[Plane] = []
    for prefix in product(*map(range, shape[:-2])):
        start = len(planes) * rows * columns
        grid = tuple(
            tuple(
                _cell(shape, prefix, row, column, start + row * columns + column, values)
                for column in range(columns)
            )
            for row in range(rows)
        )
        planes.append(Plane(prefix, str(list(prefix)) if prefix else "", grid))
    return TensorView(
        shape=shape,
        shape_text=shape_text(shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        elements=tensor.numel(),
        planes=tuple(planes),
    )


def _cell(
    shape: tuple[int, ...],
    prefix: tuple[int, ...],
    row: int,
    column: int,
    flat: int,
    values: list[float],
) -> Cell:
    tail = (row, column)[2 - min(len(shape), 2) :]
    return Cell((*prefix, *tail), flat, values[flat])
