"""Two tensors and an operator, cell by cell; a mismatch explained axis by axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerscope.app.figures.alignment import Alignment, alignment
from layerscope.app.figures.grids import Grid, Source, cells, grid
from layerscope.app.forms import Form
from layerscope.app.foundations.readers import MOST_SHOWN, CellIndex, TypedTensor, place_of
from layerscope.app.foundations.step import Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Options, Specification, parameter
from layerscope.engine.foundations.tensors.elementwise import (
    OPERATORS,
    Elementwise,
    ElementwiseCell,
    elementwise,
)

__all__ = ["STEP", "ElementwiseForm", "ElementwisePicture", "ExplainedElementwise"]

WORDS = {operator.word: operator.name for operator in OPERATORS.values()}


def _operators() -> Options:
    return {word: {"text": name} for word, name in WORDS.items()}


class ElementwiseForm(Specification):
    """Two tensors, an operator, and one cell of the result."""

    a: TypedTensor = parameter("[10., 6, 4]", "a", "A tensor as nested lists.")
    b: TypedTensor = parameter("[2., 8, 7]", "b", "A tensor as nested lists.")
    op: str = parameter("add", "Operator", "Applied to every pair of cells.", options=_operators)
    cell: CellIndex = parameter("", "Cell", "Index of a result cell, as 0,1; empty: the first.")


@dataclass(frozen=True, slots=True)
class ExplainedElementwise:
    """The operation, and the cell that is looked at."""

    done: Elementwise
    cell: ElementwiseCell | None
    """None where there is no result, or it has no cells."""

    def to_dict(self) -> dict[str, Any]:
        """The operation's record, with ``cell`` beside it."""
        return {**self.done.to_dict(), "cell": self.cell.to_dict() if self.cell else None}


def _answer(asked: ElementwiseForm, _: ShouldStop) -> ExplainedElementwise:
    done = elementwise(WORDS[asked.op], asked.a, asked.b, max_cells=MOST_SHOWN)
    if done.result is None:
        return ExplainedElementwise(done, None)
    try:
        place = place_of(asked.cell, done.result.shape)
    except ValueError as error:
        raise FieldError("cell", str(error)) from None
    return ExplainedElementwise(done, None if place is None else done.cells[place])


@dataclass(frozen=True, slots=True)
class ElementwisePicture:
    """Both operands, the result where there is one, and how the shapes were aligned."""

    a: Grid
    b: Grid
    result: Grid | None
    alignment: Alignment


def _picture(form: Form[ElementwiseForm], answer: ExplainedElementwise) -> ElementwisePicture:
    done, chosen = answer.done, answer.cell
    sources = {
        c.flat: Source(
            form.query(cell=",".join(map(str, c.index)) or "0"),
            f"{cells('a', (c.a_flat,))} {cells('b', (c.b_flat,))}",
            c.text,
        )
        for c in done.cells
    }
    return ElementwisePicture(
        a=grid("a", done.a, lit=(chosen.a_flat,) if chosen else ()),
        b=grid("b", done.b, lit=(chosen.b_flat,) if chosen else ()),
        result=None
        if done.result is None
        else grid("r", done.result, sources=sources, current=chosen.flat if chosen else None),
        alignment=alignment(done.broadcast),
    )


STEP = Step(
    name="elementwise",
    title="Elementwise",
    lead="+ − * / > < ==: each cell of one tensor with its partner in the other.",
    form=ElementwiseForm,
    answer=_answer,
    picture=_picture,
    summary="Two tensors, an operator, cell by cell",
    help="Every pair of cells and what it makes; where the shapes do not fit, `result` is null, "
    "`error` is torch's message and `broadcast` says which axis fails and why.",
    example={"expression": "a + b", "error": ""},
)
