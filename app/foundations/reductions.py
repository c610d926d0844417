"""Reductions: which cells are folded into which, by colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from layerscope.app.figures.grids import Grid, Source, cells, grid
from layerscope.app.forms import Form
from layerscope.app.foundations.readers import MOST_SHOWN, CellIndex, TypedTensor, chosen_cell
from layerscope.app.foundations.step import Explained, Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Specification, Text, parameter
from layerscope.engine.foundations.tensors import reductions
from layerscope.engine.foundations.tensors.literals import parse_axes

__all__ = ["STEP", "AxisChoice", "ReductionForm", "ReductionsPicture"]

Answer = Explained[reductions.ReductionResult, reductions.FoldedCell]


class ReductionForm(Specification):
    """A tensor, what to fold it by, over which axes, and one cell of the result."""

    x: TypedTensor = parameter("[[1, 2, 3], [4, 5, 6]]", "x", "A tensor as nested lists.")
    op: str = parameter(
        "sum", "Fold by", "What folds many cells into one.",
        options=lambda: {name: {} for name in reductions.REDUCTIONS},
    )  # fmt: skip
    axes: Annotated[tuple[int, ...] | None, Text(parse_axes)] = parameter(
        "0", "Axes", "Such as 0, or 0, -1; empty: all of them."
    )
    keepdim: bool = parameter(False, "keepdim", "Leaves a folded axis with size 1.")
    cell: CellIndex = parameter("", "Cell", "Index of a result cell, as 0,1; empty: the first.")


def _answer(asked: ReductionForm, _: ShouldStop) -> Answer:
    try:
        done = reductions.reduce(
            asked.op, asked.x, asked.axes, keepdim=asked.keepdim, max_cells=MOST_SHOWN
        )
    except reductions.ReductionError as error:
        field = "axes" if str(error).startswith("ax") else "op"
        raise FieldError(field, str(error)) from None
    return Explained(done, chosen_cell(done.cells, asked.cell, done.result.shape))


@dataclass(frozen=True, slots=True)
class AxisChoice:
    """A button for one axis of x: folded or kept, and the state in which it is the other."""

    axis: int
    size: int
    folded: bool
    query: str


@dataclass(frozen=True, slots=True)
class ReductionsPicture:
    """The tensor, coloured by what each cell is folded into, and the result in those colours."""

    x: Grid
    result: Grid
    axes: tuple[AxisChoice, ...]


def _picture(form: Form[ReductionForm], answer: Answer) -> ReductionsPicture:
    done, chosen = answer.done, answer.cell
    groups = {source: c.flat for c in done.cells for source in c.sources}
    sources = {
        c.flat: Source(
            form.query(cell=",".join(map(str, c.index)) or "0"), cells("x", c.sources), c.text
        )
        for c in done.cells
    }
    return ReductionsPicture(
        x=grid("x", done.input, lit=chosen.sources if chosen else (), groups=groups),
        result=grid(
            "r",
            done.result,
            sources=sources,
            current=chosen.flat if chosen else None,
            groups={c.flat: c.flat for c in done.cells},
        ),
        axes=_axes(form, done),
    )


def _axes(form: Form[ReductionForm], done: reductions.ReductionResult) -> tuple[AxisChoice, ...]:
    folded = set(done.axes)
    choices = []
    for axis, size in enumerate(done.input.shape):
        others = folded ^ {axis}
        # No axis named means all of them, as torch has it: the last one can't be let go.
        query = form.query(axes=", ".join(map(str, sorted(others))), cell="") if others else ""
        choices.append(AxisChoice(axis, size, axis in folded, query))
    return tuple(choices)


STEP = Step(
    name="reductions",
    title="Reductions",
    lead="all, any, sum, mean: many cells folded into one, over all axes or some.",
    form=ReductionForm,
    answer=_answer,
    picture=_picture,
    summary="Many cells folded into one, over all axes or some",
    help="Each cell of the result with the cells that were folded into it, and `.item()` where "
    "the result is one number.",
    example={"expression": "x.sum(dim=0)", "folded": 2},
)
