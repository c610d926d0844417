"""The reductions' question: a tensor, what to fold it by, over which axes, and one result cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from layerscope.app.foundations.query import Field, FieldError, Question, choice, switch
from layerscope.app.foundations.tensors import LONGEST, MOST_SHOWN, index_of, place_of, tensor
from layerscope.engine.foundations.tensors.literals import parse_axes
from layerscope.engine.foundations.tensors.reductions import (
    REDUCTIONS,
    FoldedCell,
    ReductionError,
    ReductionResult,
    reduce,
)

__all__ = ["REDUCTION", "ExplainedReduction"]


@dataclass(frozen=True, slots=True)
class ExplainedReduction:
    """The reduction, and the cell of its result that is looked at."""

    done: ReductionResult
    cell: FoldedCell | None

    def to_dict(self) -> dict[str, Any]:
        """The reduction's record, with ``cell`` beside it."""
        return {**self.done.to_dict(), "cell": self.cell.to_dict() if self.cell else None}


def _answer(
    x: Tensor, op: str, axes: tuple[int, ...] | None, keepdim: bool, cell: tuple[int, ...] | None
) -> ExplainedReduction:
    try:
        done = reduce(op, x, axes, keepdim=keepdim, max_cells=MOST_SHOWN)
    except ReductionError as error:
        field = "axes" if str(error).startswith("ax") else "op"
        raise FieldError(field, str(error)) from None
    try:
        place = place_of(cell, done.result.shape)
    except ValueError as error:
        raise FieldError("cell", str(error)) from None
    return ExplainedReduction(done, None if place is None else done.cells[place])


REDUCTION = Question(
    name="reductions",
    summary="Many cells folded into one, over all axes or some",
    help="Each cell of the result with the cells that were folded into it, and `.item()` where "
    "the result is one number.",
    fields=(
        Field(
            "x", "x", "[[1, 2, 3], [4, 5, 6]]", tensor, "A tensor as nested lists.", LONGEST
        ),
        Field(
            "op", "Fold by", "sum", choice(tuple(REDUCTIONS)), "What folds many cells into one.",
            options=tuple((name, name) for name in REDUCTIONS),
        ),
        Field("axes", "Axes", "0", parse_axes, "Such as 0, or 0, -1; empty: all of them."),
        Field("keepdim", "keepdim", "false", switch, "Leaves a folded axis with size 1."),
        Field("cell", "Cell", "", index_of, "Index of a result cell, as 0,1; empty: the first."),
    ),
    answer=_answer,
    example={"expression": "x.sum(dim=0)", "folded": 2},
)  # fmt: skip
