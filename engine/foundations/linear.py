"""A fully connected layer, the notes' ``y = x @ w.t() + b``, with every output cell explained."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.neuron import Term, products
from layerscope.engine.foundations.record import Record, join_terms, shape_text, value_text
from layerscope.engine.foundations.tensors.display import (
    MAX_CELLS,
    TensorDisplay,
    check_cells,
    display_tensor,
)

__all__ = ["LinearCell", "LinearLayer", "linear_layer", "random_linear_layer"]


@dataclass(frozen=True, slots=True)
class LinearCell(Record):
    """How one output cell came about: a row of x against a row of w, which is a column of w.t()."""

    sample: int
    """Row i of x and of y."""
    neuron: int
    """Row j of w, column j of w.t() and of y."""
    terms: tuple[Term, ...]
    x_flat: tuple[int, ...]
    """The cells of x used, by their place in row-major order."""
    w_flat: tuple[int, ...]
    wt_flat: tuple[int, ...]
    """The same cells of w, as places in w.t()."""
    y_flat: int
    bias: float
    total: float
    """Term by term in float64."""
    value: float
    """y[i, j] as torch computed it, in the layer's dtype: differs by rounding alone."""
    text: str
    """``y[0, 1] = 1×4 + 2×5 + 0.5 = 14.5``."""


@dataclass(frozen=True, slots=True)
class LinearLayer(Record):
    """``y = x @ w.t() + b`` with everything that goes in and comes out."""

    tensors: tuple[Tensor, Tensor, Tensor, Tensor] = field(
        repr=False, compare=False, metadata={"json": False}
    )
    """x, w, b and y themselves."""
    x: TensorDisplay
    w: TensorDisplay
    wt: TensorDisplay
    b: TensorDisplay
    y: TensorDisplay
    batch_size: int
    n_inputs: int
    n_neurons: int
    dtype: str
    expression: str
    """With the shapes: ``y (5, 2) = x (5, 3) @ w.t() (3, 2) + b (2,)``."""

    def cell(self, i: int, j: int) -> LinearCell:
        """How ``y[i, j]`` came about.

        Errors:
            ``IndexError`` naming the range, for a cell that is not there.
        """
        for name, place, size in (("i", i, self.batch_size), ("j", j, self.n_neurons)):
            if not 0 <= place < size:
                shape = shape_text((self.batch_size, self.n_neurons))
                raise IndexError(
                    f"{name} is {place}; y has shape {shape}, so {name} runs from 0 to {size - 1}"
                    if size
                    else f"{name} is {place}, but y has shape {shape} and no cells"
                )
        x, w, b, y = self.tensors
        terms = products(x[i].tolist(), w[j].tolist())
        bias = float(b[j])
        total = (terms[-1].running if terms else 0.0) + bias
        texts = [f"{value_text(t.input)}×{value_text(t.weight)}" for t in terms]
        summed = join_terms([*texts, value_text(bias)], " + ")
        return LinearCell(
            sample=i,
            neuron=j,
            terms=terms,
            x_flat=tuple(i * self.n_inputs + k for k in range(self.n_inputs)),
            w_flat=tuple(j * self.n_inputs + k for k in range(self.n_inputs)),
            wt_flat=tuple(k * self.n_neurons + j for k in range(self.n_inputs)),
            y_flat=i * self.n_neurons + j,
            bias=bias,
            total=total,
            value=float(y[i, j]),
            text=f"y[{i}, {j}] = {summed} = {value_text(total)}",
        )


def linear_layer(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, max_cells: int = MAX_CELLS
) -> LinearLayer:
    """A fully connected layer, ``y = x @ w.t() + b``, as ``F.linear`` has it.

    Args:
        x: inputs, (batch_size, n_inputs).
        w: weights, one row for each neuron: (n_neurons, n_inputs).
        b: biases, (n_neurons,); zeros when left out.
        max_cells: largest number of cells of each of x, w and y.

    All are brought to their common floating dtype, float32 at least.

    Errors:
        `ShapeError` naming the shape and what it should be; `LimitError`.

    >>> layer = linear_layer(torch.ones(1, 2), torch.tensor([[4.0, 5]]), torch.tensor([0.5]))
    >>> layer.cell(0, 0).text
    'y[0, 0] = 1×4 + 1×5 + 0.5 = 9.5'
    """
    b = x.new_zeros(w.shape[:1]) if b is None else b
    _check_shapes(tuple(x.shape), tuple(w.shape), tuple(b.shape))
    y_shape = (x.shape[0], w.shape[0])
    for name, shape in (("x", tuple(x.shape)), ("w", tuple(w.shape)), ("y", y_shape)):
        check_cells(name, shape, max_cells)
    dtype = torch.promote_types(torch.promote_types(x.dtype, w.dtype), b.dtype)
    if not dtype.is_floating_point:
        dtype = torch.float32
    x, w, b = x.to(dtype), w.to(dtype), b.to(dtype)
    y = x @ w.t() + b  # (batch, n_inputs) @ (n_inputs, n_neurons) + (n_neurons,)
    shapes = {"y": y, "x": x, "w.t()": w.t(), "b": b}
    named = {name: f"{name} {shape_text(tuple(t.shape))}" for name, t in shapes.items()}
    return LinearLayer(
        tensors=(x, w, b, y),
        x=display_tensor(x),
        w=display_tensor(w),
        wt=display_tensor(w.t()),
        b=display_tensor(b),
        y=display_tensor(y),
        batch_size=x.shape[0],
        n_inputs=x.shape[1],
        n_neurons=w.shape[0],
        dtype=dtype_name(dtype),
        expression=f"{named['y']} = {named['x']} @ {named['w.t()']} + {named['b']}",
    )


def random_linear_layer(
    batch_size: int, n_inputs: int, n_neurons: int, *, generator: torch.Generator
) -> LinearLayer:
    """A layer of standard normal numbers, rounded to a tenth so that one can follow by hand.

    Errors:
        ``ValueError`` for a negative size; `LimitError` beyond `MAX_CELLS` in one tensor.

    >>> random_linear_layer(5, 3, 2, generator=torch.Generator().manual_seed(0)).expression
    'y (5, 2) = x (5, 3) @ w.t() (3, 2) + b (2,)'
    """
    sizes = {"batch_size": batch_size, "n_inputs": n_inputs, "n_neurons": n_neurons}
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"{name} is {size}; expected 0 or more")
    shapes = ((batch_size, n_inputs), (n_neurons, n_inputs), (n_neurons,))
    for name, shape in zip("xwb", shapes, strict=True):
        check_cells(name, shape, MAX_CELLS)
    check_cells("y", (batch_size, n_neurons), MAX_CELLS)
    x, w, b = (_tenths(shape, generator) for shape in shapes)
    return linear_layer(x, w, b)


def _tenths(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Normal numbers to a tenth; adding zero turns a rounded −0 into 0."""
    return torch.randn(shape, generator=generator).mul(10).round().div(10).add(0.0)


def _check_shapes(x: tuple[int, ...], w: tuple[int, ...], b: tuple[int, ...]) -> None:
    if len(x) != 2:
        raise ShapeError(f"x has shape {shape_text(x)}; expected two axes, (batch_size, n_inputs)")
    if len(w) != 2:
        raise ShapeError(f"w has shape {shape_text(w)}; expected two axes, (n_neurons, n_inputs)")
    if x[1] != w[1]:
        raise ShapeError(
            f"x has {x[1]} inputs (shape {shape_text(x)}), but each row of w has {w[1]} weights "
            f"(shape {shape_text(w)}); the last sizes must be equal, for w is transposed"
        )
    if b != w[:1]:
        raise ShapeError(
            f"b has shape {shape_text(b)}; expected {shape_text(w[:1])}, one bias for each of the "
            f"{w[0]} rows of w"
        )
