"""How much memory code of ours takes: watched once at tiny sizes, then known for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

from layerscope.engine.layers import Add, Layer

__all__ = [
    "SQUARE", "TINY", "Footprint", "Shape", "Size", "Stored", "Watch", "footprint",
    "kept_by_autograd", "largest",
]  # fmt: skip


class Shape(NamedTuple):
    """Of a layer: samples, and units before and after it."""

    batch: int
    n_in: int
    n_out: int


TINY = Shape(7, 11, 13)
"""Primes: how many entries a tensor has tells what they are."""
SQUARE = Shape(7, 11, 11)
"""Of a layer that leaves the number of units as it is."""


class Size(NamedTuple):
    """Bytes for each entry of a layer's input, its output, a matrix between them, and for each
    sample; a vector of units is not worth counting."""

    inputs: int = 0
    outputs: int = 0
    matrix: int = 0
    samples: int = 0

    def of(self, shape: Shape) -> int:
        """Bytes at a shape.

        >>> Size(outputs=4, matrix=8).of(Shape(batch=2, n_in=3, n_out=5))
        160
        """
        batch, n_in, n_out = shape
        return (
            self.inputs * batch * n_in + self.outputs * batch * n_out
            + self.matrix * n_in * n_out + self.samples * batch
        )  # fmt: skip

    def plus(self, other: Size) -> Size:
        """Both together."""
        return Size(*(a + b for a, b in zip(self, other, strict=True)))


def largest(sizes: Iterable[Size], shape: Shape) -> int:
    """Bytes of the largest at a shape."""
    return max((size.of(shape) for size in sizes), default=0)


class Stored:
    """A tensor's memory, which this does not keep."""

    def __init__(self, tensor: Tensor) -> None:
        self._storage: Any = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

    @property
    def lives(self) -> bool:
        """Whether somebody still has it."""
        return not self._storage.expired()


class Watch(TorchFunctionMode):
    """Sees which tensors are made in its block, and which live at the same time.

    Args:
        shape: of the layer that is watched, as `TINY` or `SQUARE`.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        batch, n_in, n_out = shape
        self._kinds = {batch * n_in: Size(inputs=1), batch * n_out: Size(outputs=1),
                       n_in * n_out: Size(matrix=1), batch: Size(samples=1)}  # fmt: skip
        self._live: dict[int, tuple[Stored, Size]] = {}
        self.peaks: set[Size] = set()
        """Everything made in the block that lived at some moment."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        known = {t.untyped_storage()._cdata for t in args if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in known and storage._cdata not in self._live:
                    entries = storage.nbytes() // tensor.itemsize
                    kind = self._kinds.get(entries, Size())
                    size = Size(*(tensor.itemsize * n for n in kind))
                    self._live[storage._cdata] = Stored(tensor), size
        self.peaks.add(self.held)
        return result

    @property
    def held(self) -> Size:
        """What lives now of what was made in the block."""
        self._live = {key: kept for key, kept in self._live.items() if kept[0].lives}
        total = Size()
        for _, size in self._live.values():
            total = total.plus(size)
        return total


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a layer holds beyond its input, its parameters and the gradient by its output.

    ``forward``: at its moments, the output included; ``saved``: from then on until its backward
    pass, beyond input and output, of which it may keep either; ``backward``: at the moments of
    that, its gradients included; ``parameters``: what it is made of.
    """

    parameters: Size
    forward: frozenset[Size]
    saved: Size
    keeps_input: bool
    keeps_output: bool
    backward: frozenset[Size]


@cache
def footprint(layer: type[Layer], dtype: torch.dtype) -> Footprint:
    """Of a layer in a number format: its own code was watched on some hundred numbers.

    >>> from layerscope.engine.layers import ACTIVATIONS
    >>> relu = footprint(ACTIVATIONS["relu"], torch.float32)
    >>> relu.keeps_input, relu.keeps_output, max(s.inputs + s.outputs for s in relu.backward)
    (False, True, 8)
    """
    shape = TINY if layer.role == "linear_map" else SQUARE
    batch, n_in, n_out = shape
    made = layer.build(n_in, n_out, dtype, lambda n, m: (torch.full((n, m), 0.1), torch.zeros(m)))
    x = torch.linspace(-2, 2, batch * n_in).view(batch, n_in).to(dtype)
    if isinstance(made, Add):
        made.skip = torch.ones_like(x)
    with Watch(shape) as forward:
        y = made.forward(x)
    came, went = Stored(x), Stored(y)
    g = torch.ones_like(y)
    del x, y
    keeps_input, keeps_output = came.lives, went.lives
    saved = forward.held
    if keeps_output and not keeps_input:
        saved = saved.plus(Size(outputs=-dtype.itemsize))
    with Watch(shape) as backward:
        by_input = made.backward(g)
    del by_input
    return Footprint(
        Size(matrix=dtype.itemsize * (shape is TINY)), frozenset(forward.peaks), saved,
        keeps_input, keeps_output, frozenset(backward.peaks),
    )  # fmt: skip


@cache
def kept_by_autograd(layer: type[Layer]) -> Size:
    """What PyTorch's own form of a layer leaves in autograd's graph, beyond input and output, in
    float64."""
    shape = TINY if layer.role == "linear_map" else SQUARE
    batch, n_in, n_out = shape
    made = layer.build(n_in, n_out, torch.float64, lambda n, m: (torch.ones(n, m), torch.zeros(m)))
    parameters = {name: p.double().clone().requires_grad_() for name, p in made.parameters.items()}
    x = torch.linspace(-2, 2, batch * n_in).view(batch, n_in).double().requires_grad_()
    skip = torch.ones_like(x)
    with Watch(shape) as watch:
        y = layer.torch_forward(x, parameters, skip)
    held: Size = watch.held
    return held if y is x else held.plus(Size(outputs=-torch.float64.itemsize))
