"""The fully connected layer's question: sizes and a seed, or typed tensors, and one output cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerscope.app.foundations.query import Field, FieldError, Question, whole
from layerscope.app.foundations.tensors import MOST_SHOWN, index_of, optional_tensor
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.linear import (
    LinearCell,
    LinearLayer,
    linear_layer,
    random_linear_layer,
)

__all__ = ["LAYER", "ExplainedLayer"]

MOST_SIZE = 12
LONGEST = 4000


@dataclass(frozen=True, slots=True)
class ExplainedLayer:
    """A layer, and how one cell of its output came about."""

    layer: LinearLayer
    cell: LinearCell | None
    """None where the output has no cells."""

    def to_dict(self) -> dict[str, Any]:
        """The layer's record, with ``cell`` beside it."""
        return {**self.layer.to_dict(), "cell": self.cell.to_dict() if self.cell else None}


def _answer(
    batch_size: int, n_inputs: int, n_neurons: int, seed: int,
    x: Tensor | None, w: Tensor | None, b: Tensor | None, cell: tuple[int, ...] | None,
) -> ExplainedLayer:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    drawn = random_linear_layer(batch_size, n_inputs, n_neurons, generator=generator).tensors
    typed = {"x": x, "w": w, "b": b}
    full = [d if t is None else t for t, d in zip(typed.values(), drawn, strict=False)]
    try:
        layer = linear_layer(*full, max_cells=MOST_SHOWN)
    except ShapeError as error:
        # The message starts with the tensor that does not fit; one that was drawn is not to blame.
        named = str(error)[0]
        blamed = [named, *(name for name, tensor in typed.items() if tensor is not None)]
        field = next(name for name in blamed if typed[name] is not None)
        raise FieldError(field, str(error)) from None
    return ExplainedLayer(layer, _cell(layer, cell))


def _cell(layer: LinearLayer, index: tuple[int, ...] | None) -> LinearCell | None:
    if index is None:
        return layer.cell(0, 0) if layer.y.elements else None
    if len(index) != 2:
        raise FieldError("cell", f"{len(index)} numbers; expected row and column, such as 0,1")
    try:
        return layer.cell(*index)
    except IndexError as error:
        raise FieldError("cell", str(error)) from None


def _size(name: str, label: str, default: str, text: str) -> Field:
    return Field(name, label, default, whole(1, MOST_SIZE), text, slider=(1, MOST_SIZE, 1))


LAYER = Question(
    name="layer",
    summary="A fully connected layer, each output cell explained",
    help="y = x @ w.t() + b cell by cell; `cell` names the output cell that is explained by its "
    "row of x and its row of w. Tensors left out are drawn at random, rounded to a tenth.",
    fields=(
        _size("batch_size", "Samples", "5", "Rows of x and of y."),
        _size("n_inputs", "Inputs", "3", "Columns of x and of w."),
        _size("n_neurons", "Neurons", "2", "Rows of w, columns of y."),
        Field("seed", "Seed", "0", whole(0, 2**31 - 1), "Of the tensors that are drawn."),
        Field("x", "x", "", optional_tensor, "Inputs as nested lists; empty: drawn.", LONGEST),
        Field("w", "w", "", optional_tensor, "Weights, a row a neuron; empty: drawn.", LONGEST),
        Field("b", "b", "", optional_tensor, "Biases, one a neuron; empty: drawn.", LONGEST),
        Field("cell", "Cell", "", index_of, "Row and column of y, such as 0,1; empty: the first."),
    ),
    answer=_answer,
    example={"expression": "y (5, 2) = x (5, 3) @ w.t() (3, 2) + b (2,)"},
)
