"""Elementwise arithmetic and comparison, cell by cell, with the broadcast that pairs the cells.

Values, dtypes and errors are torch's own: comparisons give ``bool``, ``/`` always gives a float,
``True`` counts as 1, and two ``bool`` tensors cannot be subtracted.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry
from layerscope.engine.basis.text import dtype_name
from layerscope.engine.foundations.record import Record, value_text
from layerscope.engine.foundations.tensors.broadcasting import Broadcast, broadcast
from layerscope.engine.foundations.tensors.display import (
    MAX_CELLS,
    TensorDisplay,
    check_cells,
    display_tensor,
)

__all__ = [
    "OPERATORS", "Elementwise", "ElementwiseCell", "ElementwiseOperator", "elementwise",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ElementwiseOperator:
    """A function of two numbers, applied to every pair of cells."""

    name: str
    """The operator's sign, as the notes write it."""
    word: str
    """The same in letters, for an address."""
    formula: str
    source: str
    help: str
    function: Callable[[Tensor, Tensor], Tensor]


OPERATORS: Registry[ElementwiseOperator] = Registry("operator")
for _sign, _word, _torch, _help, _function in (
    ("+", "add", "torch.add", "Sum of each pair.", operator.add),
    ("-", "subtract", "torch.sub", "Difference of each pair.", operator.sub),
    ("*", "multiply", "torch.mul", "Product of each pair: no sum follows.", operator.mul),
    (
        "/",
        "divide",
        "torch.div",
        "Quotient, always a float: 1/0 is inf, 0/0 nan.",
        operator.truediv,
    ),
    (">", "greater", "torch.gt", "True where a is above b; never where one is nan.", operator.gt),
    ("<", "less", "torch.lt", "True where a is below b; never where one is nan.", operator.lt),
    ("==", "equal", "torch.eq", "True where both are equal; nan equals nothing.", operator.eq),
):
    OPERATORS.register(
        ElementwiseOperator(_sign, _word, f"yᵢ = aᵢ {_sign} bᵢ", _torch, _help, _function)
    )


@dataclass(frozen=True, slots=True)
class ElementwiseCell(Record):
    """One cell of the result and the two that made it, each by its place in row-major order."""

    index: tuple[int, ...]
    flat: int
    a_flat: int
    b_flat: int
    text: str
    """The cell as arithmetic, for example ``10 + 2 = 12``."""


@dataclass(frozen=True, slots=True)
class Elementwise(Record):
    """Two tensors, the operator, and the result or why there is none."""

    operator: str
    expression: str
    a: TensorDisplay
    b: TensorDisplay
    broadcast: Broadcast
    result: TensorDisplay | None
    cells: tuple[ElementwiseCell, ...]
    """In row-major order of the result; empty without one."""
    error: str
    """Torch's own message; empty when there is a result."""
    explanation: str
    """What was done, or why it cannot be."""


def elementwise(name: str, a: Tensor, b: Tensor, *, max_cells: int = MAX_CELLS) -> Elementwise:
    """``a`` and ``b`` joined by the operator called ``name``, one of `OPERATORS`.

    Shapes that do not broadcast, or dtypes that torch refuses, are no exception here: the record
    then has no result, and says why.

    Errors:
        ``KeyError`` for an unknown operator; `LimitError` beyond ``max_cells`` in one tensor.

    >>> from layerscope.engine.foundations.tensors.literals import parse_tensor
    >>> done = elementwise("+", parse_tensor("[10., 6, 4]"), parse_tensor("[2., 8, 7]"))
    >>> [cell.text for cell in done.cells]
    ['10 + 2 = 12', '6 + 8 = 14', '4 + 7 = 11']
    """
    chosen = OPERATORS[name]
    for label, tensor in (("a", a), ("b", b)):
        check_cells(label, tuple(tensor.shape), max_cells)
    fit = broadcast([tuple(a.shape), tuple(b.shape)])
    if fit.shape is not None:
        check_cells("the result", fit.shape, max_cells)
    result: Tensor | None = None
    cells: tuple[ElementwiseCell, ...] = ()
    error, explanation = "", fit.explanation
    try:
        result = chosen.function(a, b)
        cells = _cells(name, a, b, result)
    except RuntimeError as refused:
        error = str(refused)
        if fit.ok:
            explanation = f"the shapes fit, but torch has no {name} for {_dtypes(a, b)}"
    return Elementwise(
        operator=name,
        expression=f"a {name} b",
        a=display_tensor(a),
        b=display_tensor(b),
        broadcast=fit,
        result=None if result is None else display_tensor(result),
        cells=cells,
        error=error,
        explanation=explanation,
    )


def _dtypes(a: Tensor, b: Tensor) -> str:
    return " and ".join(dtype_name(tensor.dtype) for tensor in (a, b))


def _cells(name: str, a: Tensor, b: Tensor, result: Tensor) -> tuple[ElementwiseCell, ...]:
    """Which cells met: positions broadcast like the values do."""
    places = [torch.arange(t.numel()).reshape(t.shape).expand_as(result) for t in (a, b)]
    a_flat, b_flat = (place.flatten().tolist() for place in places)
    a_values, b_values, values = (t.flatten().tolist() for t in (a, b, result))
    indices = product(*map(range, result.shape))
    return tuple(
        ElementwiseCell(
            index=index,
            flat=flat,
            a_flat=i,
            b_flat=j,
            text=(
                f"{value_text(a_values[i])} {name} {value_text(b_values[j])} = {value_text(value)}"
            ),
        )
        for flat, (index, i, j, value) in enumerate(
            zip(indices, a_flat, b_flat, values, strict=True)
        )
    )
