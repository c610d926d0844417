"""Where a number came from: the operation that made it, with its operands."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.engine.execution.provenance.tape import Index

__all__ = ["Operand", "Origin"]


@dataclass(frozen=True, slots=True)
class Operand:
    """One number that went into an operation.

    ``name`` and ``entry`` where it is an entry of a named tensor, ``made_by`` the operation that
    computed it where it is none, and of how many ``terms`` where that was a sum.
    """

    value: float
    name: str | None = None
    entry: Index | None = None
    made_by: str | None = None
    terms: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The operation that made a number.

    Args:
        operation: PyTorch's name: ``mul``, ``addmm``, ``exp``; ``given`` where nothing made it.
        entry: of the operation's own result.
        operands: what went in; of a sum of many terms only those that decide.
        result: what came out, in the tensor's own dtype.
        exact: the same operation on the same operands in float64, where that tells more; None
            where it doesn't.
        terms: how many terms were summed; None for an operation that sums nothing.
        factors: of each term among the operands how many of these it is the product of.
        made_here: False where the value had been in an operand already: it came in from outside.
        every: how many entries there are of which this one came nearest to being something else;
            None where one entry alone is told.
        before: where an operand of it that is not finite came from, if it was made here too.
        because: the comparison that chose this number, in words; None where nothing was chosen.
    """

    operation: str
    entry: Index
    operands: tuple[Operand, ...]
    result: float
    exact: float | None = None
    terms: int | None = None
    factors: tuple[int, ...] = ()
    made_here: bool = True
    every: int | None = None
    because: str | None = None
    before: Origin | None = None
