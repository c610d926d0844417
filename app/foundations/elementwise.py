"""Two tensors and an operator, cell by cell; a mismatch explained axis by axis."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.app.figures.alignment import Alignment, alignment
from layerscope.app.figures.grids import Grid, Source, cells, grid
from layerscope.app.forms import Form
from layerscope.app.foundations.readers import MOST_SHOWN, CellIndex, TypedTensor, chosen_cell
from layerscope.app.foundations.step import Explained, Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.specification import Specification, parameter
from layerscope.engine.foundations.tensors.elementwise import (
    OPERATORS,
    Elementwise,
    ElementwiseCell,
    elementwise,
)

__all__ = ["STEP", "ElementwiseForm", "ElementwisePicture"]

Answer = Explained[Elementwise, ElementwiseCell]

WORDS = {operator.word: operator.name for operator in OPERATORS.values()}


class ElementwiseForm(Specification):
    """Two tensors, an operator, and one cell of the result."""

    a: TypedTensor = parameter("[10., 6, 4]", "a", "A tensor as nested lists.")
    b: TypedTensor = parameter("[2., 8, 7]", "b", "A tensor as nested lists.")
    op: str = parameter(
        "add", "Operator", "Applied to every pair of cells.",
        options=lambda: {word: {"text": name} for word, name in WORDS.items()},
    )  # fmt: skip
    cell: CellIndex = parameter("", "Cell", "Index of a result cell, as 0,1; empty: the first.")


def _answer(asked: ElementwiseForm, _: ShouldStop) -> Answer:
    done = elementwise(WORDS[asked.op], asked.a, asked.b, max_cells=MOST_SHOWN)
    shape = done.result.shape if done.result else (0,)
    return Explained(done, chosen_cell(done.cells, asked.cell, shape))


@dataclass(frozen=True, slots=True)
class ElementwisePicture:
    """Both operands, the result where there is one, and how the shapes were aligned."""

    a: Grid
    b: Grid
    result: Grid | None
    alignment: Alignment


def _picture(form: Form[ElementwiseForm], answer: Answer) -> ElementwisePicture:
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
