"""The elementwise question: two tensors, an operator, and one cell of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from layerscope.app.foundations.query import Field, FieldError, Question, choice
from layerscope.app.foundations.tensors import LONGEST, MOST_SHOWN, index_of, place_of, tensor
from layerscope.engine.foundations.tensors.elementwise import (
    OPERATORS,
    Elementwise,
    ElementwiseCell,
    elementwise,
)

__all__ = ["ELEMENTWISE", "ExplainedElementwise"]


@dataclass(frozen=True, slots=True)
class ExplainedElementwise:
    """The operation, and the cell that is looked at."""

    done: Elementwise
    cell: ElementwiseCell | None
    """None where there is no result, or it has no cells."""

    def to_dict(self) -> dict[str, Any]:
        """The operation's record, with ``cell`` beside it."""
        return {**self.done.to_dict(), "cell": self.cell.to_dict() if self.cell else None}


WORDS = {operator.word: operator.name for operator in OPERATORS.values()}


def _answer(a: Tensor, b: Tensor, op: str, cell: tuple[int, ...] | None) -> ExplainedElementwise:
    done = elementwise(WORDS[op], a, b, max_cells=MOST_SHOWN)
    if done.result is None:
        return ExplainedElementwise(done, None)
    try:
        place = place_of(cell, done.result.shape)
    except ValueError as error:
        raise FieldError("cell", str(error)) from None
    return ExplainedElementwise(done, None if place is None else done.cells[place])


ELEMENTWISE = Question(
    name="elementwise",
    summary="Two tensors, an operator, cell by cell",
    help="Every pair of cells and what it makes; where the shapes do not fit, `result` is null, "
    "`error` is torch's message and `broadcast` says which axis fails and why.",
    fields=(
        Field("a", "a", "[10., 6, 4]", tensor, "A tensor as nested lists.", LONGEST),
        Field("b", "b", "[2., 8, 7]", tensor, "A tensor as nested lists.", LONGEST),
        Field(
            "op", "Operator", "add", choice(tuple(WORDS)), "Applied to every pair of cells.",
            options=tuple(WORDS.items()),
        ),
        Field("cell", "Cell", "", index_of, "Index of a result cell, as 0,1; empty: the first."),
    ),
    answer=_answer,
    example={"expression": "a + b", "error": ""},
)  # fmt: skip
