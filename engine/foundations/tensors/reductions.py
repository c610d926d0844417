"""Reductions: many cells folded into one, over all axes or some, with the cells that went in.

Values, dtypes and conventions are torch's own: the sum of nothing is 0, its mean nan; ``all`` of
nothing is True, ``any`` False; a sum of ``bool`` counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry
from layerscope.engine.basis.text import dtype_name
from layerscope.engine.foundations.record import Record, join_terms, shape_text, value_text
from layerscope.engine.foundations.tensors.display import (
    MAX_CELLS,
    TensorDisplay,
    check_cells,
    display_tensor,
)

__all__ = [
    "REDUCTIONS", "FoldedCell", "Reduction", "ReductionError", "ReductionResult", "reduce",
]  # fmt: skip


class ReductionError(ValueError):
    """A reduction that torch does not define, or axes that the tensor does not have."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """A function from many numbers to one."""

    name: str
    formula: str
    source: str
    help: str
    function: Callable[..., Tensor]
    """Called as ``function(x, dim=(0, 1), keepdim=False)``."""
    infix: str
    """What stands between the terms when written out."""


def _std(x: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    if not x.numel() or math.prod(x.shape[axis] for axis in dim) < 2:
        # n − 1 is not positive: nan, which torch gives as well, but with a warning
        return x.sum(dim=dim, keepdim=keepdim) * math.nan
    return x.std(dim=dim, keepdim=keepdim)


REDUCTIONS: Registry[Reduction] = Registry("reduction")
for _name, _formula, _source, _help, _function, _infix in (
    ("all", "x₁ and x₂ and …", "torch.all", "True when every cell is: nan is True, 0 False.",
     torch.all, " and "),
    ("any", "x₁ or x₂ or …", "torch.any", "True when at least one cell is.", torch.any, " or "),
    ("sum", "Σ xᵢ", "torch.sum", "All cells added up; of bools, how many are True.",
     torch.sum, " + "),
    ("mean", "Σ xᵢ / n", "torch.mean", "The sum by the number of cells; needs floats.",
     torch.mean, " + "),
    ("min", "min(x₁, x₂, …)", "torch.amin", "The smallest cell; nan if one is nan.",
     torch.amin, ", "),
    ("max", "max(x₁, x₂, …)", "torch.amax", "The largest cell; nan if one is nan.",
     torch.amax, ", "),
    ("std", "√(Σ (xᵢ − mean)² / (n − 1))", "torch.std",
     "Spread around the mean, unbiased; nan for fewer than two cells.", _std, ", "),
):  # fmt: skip
    REDUCTIONS.register(Reduction(_name, _formula, _source, _help, _function, _infix))


@dataclass(frozen=True, slots=True)
class FoldedCell(Record):
    """One cell of the result and the cells folded into it, by their place in row-major order."""

    index: tuple[int, ...]
    flat: int
    sources: tuple[int, ...]
    text: str
    """The cell as arithmetic, ``1 + 4 + 7 = 12``; long ones are cut short."""


@dataclass(frozen=True, slots=True)
class ReductionResult(Record):
    """A tensor, the axes reduced, and the result."""

    reduction: str
    formula: str
    expression: str
    """The call as one would write it, ``x.sum(dim=(0, 1), keepdim=True)``."""
    axes: tuple[int, ...]
    """The axes reduced, counted from the left, ascending."""
    keepdim: bool
    input: TensorDisplay
    result: TensorDisplay
    cells: tuple[FoldedCell, ...]
    folded: int
    """How many cells went into each cell of the result."""
    item: float | None
    """``result.item()``, a plain Python number; None where the result has other than one cell."""
    item_text: str
    item_error: str
    """Torch's message for ``.item()`` then; else empty."""


def reduce(
    name: str,
    x: Tensor,
    axes: tuple[int, ...] | None = None,
    *,
    keepdim: bool = False,
    max_cells: int = MAX_CELLS,
) -> ReductionResult:
    """Fold ``x`` by the reduction called ``name``, one of `REDUCTIONS`.

    Args:
        name: which reduction.
        x: any small tensor.
        axes: which axes to reduce, negative ones counted from the right. None or ``()``: all, as
            torch's ``sum`` has it.
        keepdim: leave the reduced axes with size 1.
        max_cells: largest number of cells of ``x`` and of the result.

    Errors:
        ``KeyError`` for an unknown reduction; `ReductionError` for an axis out of range or named
        twice, ``mean`` and ``std`` of bools, ``min`` and ``max`` of nothing; `LimitError`.

    >>> m = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    >>> [cell.text for cell in reduce("sum", m, (0,)).cells]
    ['1 + 4 + 7 = 12', '2 + 5 + 8 = 15', '3 + 6 + 9 = 18']
    """
    reduction = REDUCTIONS[name]
    shape = tuple(x.shape)
    check_cells("x", shape, max_cells)
    reduced = _normalised(axes, shape)
    kept = tuple(axis for axis in range(len(shape)) if axis not in reduced)
    folded = math.prod(shape[axis] for axis in reduced)
    _check_defined(name, x, folded)
    result = reduction.function(x, dim=reduced, keepdim=keepdim)
    places = torch.arange(x.numel()).reshape(shape).permute((*kept, *reduced))
    sources = places.reshape(result.numel(), folded).tolist()
    one = result.numel() == 1
    return ReductionResult(
        reduction=name,
        formula=reduction.formula,
        expression=_expression(reduction, axes, keepdim),
        axes=reduced,
        keepdim=keepdim,
        input=display_tensor(x),
        result=display_tensor(result),
        cells=_cells(reduction, x, result, sources),
        folded=folded,
        item=result.item() if one else None,
        item_text=value_text(result.item()) if one else "",
        item_error="" if one else _item_error(result),
    )


def _normalised(axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes, counted from the left, ascending; torch's rules, the scalar's included."""
    dims = len(shape)
    if not axes:
        return tuple(range(dims))
    span = max(dims, 1)  # a scalar may be reduced over axis 0 or -1, which changes nothing
    seen: dict[int, int] = {}
    for axis in axes:
        if not -span <= axis < span:
            raise ReductionError(
                f"axis {axis} is out of range: shape {shape_text(shape)} has axes "
                f"{-span} to {span - 1}"
            )
        place = axis % span
        if place in seen:
            first = seen[place]
            alias = f"axes {first} and {axis} are the same" if first != axis else f"axis {axis}"
            raise ReductionError(f"{alias} in shape {shape_text(shape)}: each may be named once")
        seen[place] = axis
    return tuple(sorted(seen)) if dims else ()


def _check_defined(name: str, x: Tensor, folded: int) -> None:
    if name in {"mean", "std"} and not x.is_floating_point():
        dtype = dtype_name(x.dtype)
        raise ReductionError(f"{name} of {dtype} cells is not defined; it needs floats")
    if name in {"min", "max"} and not folded:
        raise ReductionError(
            f"{name} over no cells is not defined: shape {shape_text(tuple(x.shape))} has an "
            "empty axis among those reduced"
        )


def _expression(reduction: Reduction, axes: tuple[int, ...] | None, keepdim: bool) -> str:
    method = reduction.source.removeprefix("torch.")
    arguments = []
    if axes or keepdim:
        single = axes is not None and len(axes) == 1
        arguments.append(f"dim={axes[0] if axes and single else axes or None}")
    if keepdim:
        arguments.append("keepdim=True")
    return f"x.{method}({', '.join(arguments)})"


def _cells(
    reduction: Reduction, x: Tensor, result: Tensor, sources: list[list[int]]
) -> tuple[FoldedCell, ...]:
    terms, values = x.flatten().tolist(), result.flatten().tolist()
    indices = product(*map(range, result.shape))
    return tuple(
        FoldedCell(index, flat, tuple(into), _text(reduction, [terms[i] for i in into], value))
        for flat, (index, into, value) in enumerate(zip(indices, sources, values, strict=True))
    )


def _text(reduction: Reduction, terms: list[float], value: float) -> str:
    joined = join_terms([value_text(term) for term in terms], reduction.infix) or "nothing"
    if reduction.name == "mean":
        joined = f"({joined}) / {len(terms)}"
    elif reduction.infix == ", ":
        joined = f"{reduction.name}({joined})"
    return f"{joined} = {value_text(value)}"


def _item_error(result: Tensor) -> str:
    """What torch says when a tensor of other than one cell is asked for its number."""
    try:
        result.item()
    except RuntimeError as error:
        return str(error)
    raise AssertionError(f"torch gives an item of shape {tuple(result.shape)}")
