"""The reductions' page: which cells are folded into which, by colour."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.app.foundations import Reading
from layerscope.app.foundations.reductions import REDUCTION, ExplainedReduction
from layerscope.app.pages.foundations.grids import Grid, Source, cells, grid
from layerscope.app.pages.foundations.step import Step, step_router

__all__ = ["STEP", "AxisChoice", "ReductionsPicture"]


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
    help: str


def _picture(reading: Reading, answer: ExplainedReduction) -> ReductionsPicture:
    done, chosen = answer.done, answer.cell
    groups = {source: c.flat for c in done.cells for source in c.sources}
    sources = {
        c.flat: Source(
            reading.query(cell=",".join(map(str, c.index)) or "0"), cells("x", c.sources), c.text
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
        axes=_axes(reading, answer),
        help=done.formula,
    )


def _axes(reading: Reading, answer: ExplainedReduction) -> tuple[AxisChoice, ...]:
    shape, folded = answer.done.input.shape, set(answer.done.axes)
    choices = []
    for axis, size in enumerate(shape):
        others = folded ^ {axis}
        # No axis named means all of them, as torch has it: the last one can't be let go.
        query = reading.query(axes=", ".join(map(str, sorted(others))), cell="") if others else ""
        choices.append(AxisChoice(axis, size, axis in folded, query))
    return tuple(choices)


STEP = Step(
    "reductions",
    "Reductions",
    "all, any, sum, mean: many cells folded into one, over all axes or some.",
    step_router("reductions", REDUCTION, _picture),
)
