"""What is recorded of an origin: figures and words, no tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

from layerscope.engine.basis.serial import Serial
from layerscope.engine.execution.provenance.origin import Operand, Origin
from layerscope.engine.execution.provenance.tape import Index
from layerscope.engine.execution.provenance.trace import Trace
from layerscope.engine.execution.provenance.words import figure, in_words
from layerscope.engine.statistics import Statistics

__all__ = ["AILMENTS", "Ailment", "Cause", "Given", "ailments", "causes"]

Ailment = Literal["Inf", "NaN", "0"]
AILMENTS: tuple[Ailment, ...] = ("Inf", "NaN", "0")
"""What a tensor may have that is asked after: infinities, NaN, nothing but zeros."""


class Given(Serial):
    """A number that went into an operation; ``value`` is None where it is not finite."""

    text: str
    value: float | None
    name: str | None
    entry: tuple[int, ...] | None
    made_by: str | None


class Cause(Serial):
    """Why a tensor has an ailment: the operation that brought it about, as it was run.

    ``tensor`` says which of a record's tensors, ``entry`` at which place, ``said`` it in words.
    """

    tensor: str
    ailment: Ailment
    entry: tuple[int, ...]
    operation: str
    operands: list[Given]
    exact: float | None
    terms: int | None
    said: str


def ailments(s: Statistics) -> frozenset[Ailment]:
    """What of the three a tensor has, by its statistics."""
    found: list[Ailment] = []
    if s.posinf or s.neginf:
        found.append("Inf")
    if s.nan:
        found.append("NaN")
    if s.zeros == s.count > 0:
        found.append("0")
    return frozenset(found)


def causes(
    function: Callable[[], Tensor],
    names: Mapping[str, Tensor],
    *,
    tensor: str,
    asked: Collection[Ailment],
    seen: Tensor | None = None,
    row: int = 0,
) -> list[Cause]:
    """Why the result of ``function`` has the ailments ``asked``; of one that it has not, nothing.

    Args:
        function: computes the tensor from ``names``; run once more, without gradients.
        names: what it reads, by the name under which operands are told.
        tensor: what the result is called.
        seen: the tensor as it was when it was first computed, where ``function`` may round another
            way: only entries that ail in both are told.
        row: to add to the first index of every entry told, where ``function`` computes a part.

    >>> x = torch.tensor([[3e38, 1.0]])
    >>> [found] = causes(lambda: x * 2, {"x": x}, tensor="activation", asked=["Inf"])
    >>> found.said
    "3e+38 · 2 = 6e+38 is beyond float32's largest number, 3.4e+38, at [0, 0]"
    """
    trace = Trace(function, names)
    found: list[Cause] = []
    for ailment in AILMENTS:
        if ailment not in asked:
            continue
        entry = _first(trace.result, ailment, seen)
        if entry is None:
            continue
        made = trace.zeros() if ailment == "0" else trace.entry(entry)
        found.append(_cause(made, tensor, ailment, entry, trace.result.dtype, row))
    return found


def _first(result: Tensor, ailment: Ailment, seen: Tensor | None) -> Index | None:
    """The first place of an ailment; of an all-zero tensor, its first entry."""
    if ailment == "0":
        empty = result.numel() > 0 and not bool(torch.count_nonzero(result))
        return (0,) * result.dim() if empty else None
    ails = torch.isnan if ailment == "NaN" else torch.isinf
    there = torch.nonzero(ails(result) if seen is None else ails(result) & ails(seen))
    return tuple(int(i) for i in there[0]) if len(there) else None


def _cause(
    made: Origin, tensor: str, ailment: Ailment, entry: Index, dtype: torch.dtype, row: int
) -> Cause:
    if made.every is not None:
        entry = made.entry
    entry = (entry[0] + row, *entry[1:]) if entry else entry
    place = f", at [{', '.join(map(str, entry))}]" if entry and made.every is None else ""
    exact = made.exact if made.exact is not None and math.isfinite(made.exact) else None
    return Cause(
        tensor=tensor,
        ailment=ailment,
        entry=entry,
        operation=made.operation,
        operands=[_given(o) for o in made.operands],
        exact=exact,
        terms=made.terms,
        said=in_words(made, dtype) + (place if made.made_here else ""),
    )


def _given(operand: Operand) -> Given:
    return Given(
        figure(operand.value),
        operand.value if math.isfinite(operand.value) else None,
        operand.name,
        operand.entry,
        operand.made_by,
    )
