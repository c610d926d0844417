"""A small tensor, element by element, as the matrices in which a page draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

from torch import Tensor

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.record import Record, json_number, shape_text, value_text

__all__ = [
    "MAX_CELLS", "Plane", "TensorDisplay", "TensorElement", "check_cells", "display_tensor",
]  # fmt: skip

MAX_CELLS = 1024
"""Elements of one tensor that is shown element by element; more is no picture one can read."""


def check_cells(what: str, shape: tuple[int, ...], max_cells: int) -> None:
    """Raise `LimitError` when a tensor of this ``shape`` has more than ``max_cells`` elements.

    An empty axis counts as one: its rows, although without cells, would be drawn.
    """
    cells = math.prod(max(size, 1) for size in shape)
    if cells > max_cells:
        raise LimitError(f"cells of {what} {shape_text(shape)}", max_cells, cells)


@dataclass(frozen=True, slots=True)
class TensorElement(Record):
    """One element of a tensor: where it is and what it holds."""

    index: tuple[int, ...]
    flat: int
    """Position in row-major order, the number by which other records refer to this cell."""
    value: float
    """A float, an int or a bool, as the tensor's dtype."""

    @property
    def text(self) -> str:
        return value_text(self.value)

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": list(self.index),
            "flat": self.flat,
            "value": json_number(self.value),
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Plane(Record):
    """The last two axes of a tensor at one place of all the axes before them."""

    prefix: tuple[int, ...]
    label: str
    """How one indexes this plane, ``[0, 1]``; empty when the tensor has at most two axes."""
    rows: tuple[tuple[TensorElement, ...], ...]


@dataclass(frozen=True, slots=True)
class TensorDisplay(Record):
    """A whole tensor, drawn as matrices: a scalar is one cell, a vector one row."""

    shape: tuple[int, ...]
    shape_text: str
    dtype: str
    elements: int
    planes: tuple[Plane, ...]


def display_tensor(tensor: Tensor) -> TensorDisplay:
    """Every cell of a small ``tensor``.

    >>> import torch
    >>> display_tensor(torch.tensor([10.0, 6, 4])).planes[0].rows[0][1].text
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
                _element(shape, prefix, row, column, start + row * columns + column, values)
                for column in range(columns)
            )
            for row in range(rows)
        )
        planes.append(Plane(prefix, str(list(prefix)) if prefix else "", grid))
    return TensorDisplay(
        shape=shape,
        shape_text=shape_text(shape),
        dtype=dtype_name(tensor.dtype),
        elements=tensor.numel(),
        planes=tuple(planes),
    )


def _element(
    shape: tuple[int, ...],
    prefix: tuple[int, ...],
    row: int,
    column: int,
    flat: int,
    values: list[float],
) -> TensorElement:
    tail = (row, column)[2 - min(len(shape), 2) :]
    return TensorElement((*prefix, *tail), flat, values[flat])
