"""The elementwise page: two tensors, cell by cell; a mismatch explained axis by axis."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.app.foundations import Reading
from layerscope.app.foundations.elementwise import ELEMENTWISE, ExplainedElementwise
from layerscope.app.pages.foundations.alignment import Alignment, alignment
from layerscope.app.pages.foundations.grids import Grid, Source, cells, grid
from layerscope.app.pages.foundations.step import Step, step_router

__all__ = ["STEP", "ElementwisePicture"]


@dataclass(frozen=True, slots=True)
class ElementwisePicture:
    """Both operands, the result where there is one, and how the shapes were aligned."""

    a: Grid
    b: Grid
    result: Grid | None
    alignment: Alignment


def _picture(reading: Reading, answer: ExplainedElementwise) -> ElementwisePicture:
    done, chosen = answer.done, answer.cell
    sources = {
        c.flat: Source(
            reading.query(cell=",".join(map(str, c.index)) or "0"),
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
    "elementwise",
    "Elementwise",
    "+ − * / > < ==: each cell of one tensor with its partner in the other.",
    step_router("elementwise", ELEMENTWISE, _picture),
)
