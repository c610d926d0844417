"""The fully connected layer's page: x, w, b and y as grids, each output cell explained."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.app.foundations import Reading
from layerscope.app.foundations.layer import LAYER, ExplainedLayer
from layerscope.app.pages.foundations.grids import Grid, Source, cells, grid
from layerscope.app.pages.foundations.step import Step, step_router
from layerscope.engine.foundations.linear import LinearCell

__all__ = ["STEP", "LayerPicture"]


@dataclass(frozen=True, slots=True)
class LayerPicture:
    """The four grids of y = x @ w.t() + b, and w as it is stored."""

    x: Grid
    w: Grid
    wt: Grid
    b: Grid
    y: Grid


def _picture(reading: Reading, answer: ExplainedLayer) -> LayerPicture:
    layer, chosen = answer.layer, answer.cell
    sources = {}
    for i in range(layer.batch_size):
        for j in range(layer.n_neurons):
            cell = layer.cell(i, j)
            sources[cell.y_flat] = Source(reading.query(cell=f"{i},{j}"), _made_of(cell), cell.text)
    return LayerPicture(
        x=grid("x", layer.x, lit=chosen.x_flat if chosen else ()),
        w=grid("w", layer.w, lit=chosen.w_flat if chosen else ()),
        wt=grid("wt", layer.wt, lit=chosen.wt_flat if chosen else ()),
        b=grid("b", layer.b, lit=(chosen.neuron,) if chosen else ()),
        y=grid("y", layer.y, sources=sources, current=chosen.y_flat if chosen else None),
    )


def _made_of(cell: LinearCell) -> str:
    return " ".join(
        (
            cells("x", cell.x_flat),
            cells("w", cell.w_flat),
            cells("wt", cell.wt_flat),
            cells("b", (cell.neuron,)),
        )
    )


STEP = Step(
    "layer",
    "Layer",
    "Every neuron sees every input: y = x @ w.t() + b, each cell a row of x against a row of w.",
    step_router("layer", LAYER, _picture),
)
