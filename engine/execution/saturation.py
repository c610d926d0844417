"""Where an activation is flat, told by its derivative, and how much of a signal lies there."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from layerscope.engine.basis.serial import Serial
from layerscope.engine.statistics.within import within

__all__ = ["SAMPLES", "FlatRegion", "derivative_by_autograd", "flat_region"]

GROWING = 2.0  # a slope beyond this at z = 10 has no peak: squared_relu's
FLAT = 0.01  # φ' below this share of its peak passes no gradient to speak of
SAMPLES = 16  # looked at: 16 rows of 100 units give the share to about 1 %
LEVELS = 2048  # quantiles that stand for a standard normal signal

Elementwise = Callable[[Tensor], Tensor]


class FlatRegion(Serial):
    """The inputs at which |φ'| is under a hundredth of its peak.

    ``intervals`` are closed; None stands for no bound. ``by_nature`` is the share of a standard
    normal signal that lies in them: ReLU's half is its nature, not a fault.
    """

    intervals: tuple[tuple[float | None, float | None], ...]
    by_nature: float

    def share(self, z: Tensor) -> float | None:
        """Share of an activation's input, the batch first, that lies in the region.

        Of the entries of the first 16 samples that are not NaN; None where all are.

        >>> FlatRegion(((None, 0.0),), 0.5).share(torch.tensor([[-1.0, 1.0, 2.0, 3.0]]))
        0.25
        """
        flat, known = within(z, self.intervals, SAMPLES)
        return flat / known if known else None


def flat_region(derivative: Elementwise) -> FlatRegion:
    """Where the activation with this derivative is flat, on a fine grid over −10…10.

    The peak of |φ'| is that on the grid, or 1 where φ' grows without bound. What is flat at an end
    of the grid is taken to be flat beyond it.

    >>> flat_region(lambda z: (z > 0).double()).intervals
    ((None, 0.0),)
    """
    grid = torch.arange(-4000, 4001, dtype=torch.float64) / 400  # holds every kink exactly
    slope = derivative(grid).abs()
    peak = 1.0 if float(slope[-1]) > GROWING else float(slope.max())
    flat = slope < FLAT * peak
    edges = torch.nonzero(flat[1:] != flat[:-1])[:, 0].tolist()
    bounds = [0, *(e + 1 for e in edges), len(grid)]
    at: list[float] = grid.tolist()
    intervals = tuple(
        (at[start] if start else None, at[end - 1] if end < len(at) else None)
        for start, end in pairwise(bounds)
        if flat[start]
    )
    levels = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    normal = math.sqrt(2) * torch.erfinv(2 * levels - 1)
    # A few rows are looked at: the quantiles are spread over all.
    spread = torch.randperm(LEVELS, generator=torch.Generator().manual_seed(0))
    by_nature = FlatRegion(intervals, 0.0).share(normal[spread].view(32, 64))
    return FlatRegion(intervals, by_nature or 0.0)


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def derivative_by_autograd(function: Elementwise) -> Elementwise:
    """φ' of any elementwise function of PyTorch: a module such as ``nn.GELU()``, for example.

    What autograd keeps for it is nobody else's: within a checkpoint, which counts what is kept, it
    may be asked all the same.

    >>> derivative_by_autograd(torch.nn.Tanh())(torch.tensor([0.0]))
    tensor([1.])
    """

    def derivative(z: Tensor) -> Tensor:
        with torch.enable_grad(), saved_tensors_hooks(_as_it_is, _as_it_is):
            x = z.detach().requires_grad_()
            return torch.autograd.grad(function(x).sum(), x)[0]

    return derivative
