"""The fully connected layer: x, w, b and y as grids, each output cell explained."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from layerscope.app.figures.grids import Grid, Source, cells, grid
from layerscope.app.forms import Form
from layerscope.app.foundations.readers import MOST_SHOWN, CellIndex, OptionalTensor
from layerscope.app.foundations.step import Explained, Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Specification, parameter
from layerscope.engine.foundations import linear
from layerscope.engine.foundations.errors import ShapeError

__all__ = ["STEP", "LayerForm", "LayerPicture"]

Answer = Explained[linear.LinearLayer, linear.LinearCell]
MOST_SIZE = 12


def _size(default: int, title: str, help: str) -> Any:  # noqa: A002 - as `parameter` has it
    return parameter(default, title, help, slider=(1, MOST_SIZE), ge=1, le=MOST_SIZE)


class LayerForm(Specification):
    """Sizes and a seed, or typed tensors, and one output cell."""

    batch_size: int = _size(5, "Samples", "Rows of x and of y.")
    n_inputs: int = _size(3, "Inputs", "Columns of x and of w.")
    n_neurons: int = _size(2, "Neurons", "Rows of w, columns of y.")
    seed: int = parameter(0, "Seed", "Of the tensors that are drawn.", ge=0, le=2**31 - 1)
    x: OptionalTensor = parameter("", "x", "Inputs as nested lists; empty: drawn.")
    w: OptionalTensor = parameter("", "w", "Weights, a row a neuron; empty: drawn.")
    b: OptionalTensor = parameter("", "b", "Biases, one a neuron; empty: drawn.")
    cell: CellIndex = parameter("", "Cell", "Row and column of y, such as 0,1; empty: the first.")


def _answer(asked: LayerForm, _: ShouldStop) -> Answer:
    generator = torch.Generator().manual_seed(asked.seed)
    drawn = linear.random_linear_layer(
        asked.batch_size, asked.n_inputs, asked.n_neurons, generator=generator
    ).tensors
    typed = {"x": asked.x, "w": asked.w, "b": asked.b}
    full = [d if t is None else t for t, d in zip(typed.values(), drawn, strict=False)]
    try:
        layer = linear.linear_layer(*full, max_cells=MOST_SHOWN)
    except ShapeError as error:
        # The message starts with the tensor that does not fit; one that was drawn is not to blame.
        named = str(error)[0]
        blamed = [named, *(name for name, tensor in typed.items() if tensor is not None)]
        field = next(name for name in blamed if typed[name] is not None)
        raise FieldError(field, str(error)) from None
    return Explained(layer, _cell(layer, asked.cell))


def _cell(layer: linear.LinearLayer, index: tuple[int, ...] | None) -> linear.LinearCell | None:
    if index is None:
        return layer.cell(0, 0) if layer.y.elements else None
    if len(index) != 2:
        raise FieldError("cell", f"{len(index)} numbers; expected row and column, such as 0,1")
    try:
        return layer.cell(*index)
    except IndexError as error:
        raise FieldError("cell", str(error)) from None


@dataclass(frozen=True, slots=True)
class LayerPicture:
    """The four grids of y = x @ w.t() + b, and w as it is stored."""

    x: Grid
    w: Grid
    wt: Grid
    b: Grid
    y: Grid


def _picture(form: Form[LayerForm], answer: Answer) -> LayerPicture:
    layer, chosen = answer.done, answer.cell
    sources = {}
    for i, j in product(range(layer.batch_size), range(layer.n_neurons)):
        cell = layer.cell(i, j)
        made_of = " ".join(cells(name, flats) for name, flats in _made_of(cell).items())
        sources[cell.y_flat] = Source(form.query(cell=f"{i},{j}"), made_of, cell.text)
    lit = _made_of(chosen) if chosen else {}
    return LayerPicture(
        x=grid("x", layer.x, lit=lit.get("x", ())),
        w=grid("w", layer.w, lit=lit.get("w", ())),
        wt=grid("wt", layer.wt, lit=lit.get("wt", ())),
        b=grid("b", layer.b, lit=lit.get("b", ())),
        y=grid("y", layer.y, sources=sources, current=chosen.y_flat if chosen else None),
    )


def _made_of(cell: linear.LinearCell) -> dict[str, tuple[int, ...]]:
    return {"x": cell.x_flat, "w": cell.w_flat, "wt": cell.wt_flat, "b": (cell.neuron,)}


STEP = Step(
    name="layer",
    title="Layer",
    lead="Every neuron sees every input: y = x @ w.t() + b, each cell a row of x against a row of "
    "w.",
    form=LayerForm,
    answer=_answer,
    picture=_picture,
    summary="A fully connected layer, each output cell explained",
    help="y = x @ w.t() + b cell by cell; `cell` names the output cell that is explained by its "
    "row of x and its row of w. Tensors left out are drawn at random, rounded to a tenth.",
    example={"expression": "y (5, 2) = x (5, 3) @ w.t() (3, 2) + b (2,)"},
)
