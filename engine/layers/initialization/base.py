"""What an init scheme is, and the registry that holds all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry
from layerscope.engine.layers.initialization.distribution import (
    Describe,
    Distribution,
    normal_entries,
)

__all__ = ["INITS", "Draw", "DrawBias", "FixedWeight", "InitScheme", "init_scheme"]


class DrawBias(Protocol):
    """A function that draws float32 biases of shape (n_out,)."""

    __name__: str

    def __call__(self, n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor: ...


class Draw(Protocol):
    """A function that draws a float32 weight of shape (n_in, n_out)."""

    __name__: str

    def __call__(self, n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor: ...


class FixedWeight(NamedTuple):
    """A weight that every seed has: no unit mixes with others, or all of them do alike.

    ``value(n_in, n_out)`` of the entries, on the diagonal (``diagonal``; elsewhere 0) or
    everywhere.
    """

    value: Callable[[int, int], float]
    diagonal: bool


@dataclass(frozen=True, slots=True)
class InitScheme:
    """``variance(n_in, n_out)`` is the intended variance of one entry, None where there is no such
    figure; ``mean_field`` says whether entries are (nearly) independent and centred, so that signal
    propagation theory speaks of them. ``calibrate`` rescales a drawn weight once its input is
    known: ``calibrate(weight, x) -> weight``, so that the std of x @ weight over the batch is
    ``calibrated_std`` (None: whatever comes of it). ``fixed``: the weight where no seed changes it;
    None: it is drawn. ``bias`` draws a layer's biases, of the variance
    ``bias_variance(n_in)``; None: they are zero. ``orthogonal``: columns or rows are orthonormal;
    ``describe``: the distribution of one entry; ``draw_flops``: what a draw costs beyond its
    random numbers; ``draw_bytes``: what a library takes for it beyond the tensors seen here."""

    draw: Draw
    _: KW_ONLY
    formula: str
    source: str
    help: str
    assumes: str = ""
    variance: Callable[[int, int], float | None] = lambda n_in, n_out: None
    mean_field: bool = True
    calibrate: Callable[[Tensor, Tensor], Tensor] | None = None
    calibrated_std: float | None = None
    fixed: FixedWeight | None = None
    bias: DrawBias | None = None
    bias_variance: Callable[[int], float] = lambda n_in: 0.0
    orthogonal: bool = False
    describe: Describe | None = None
    draw_flops: Callable[[int, int], int] = lambda n_in, n_out: 0
    draw_bytes: Callable[[int, int], int] = lambda n_in, n_out: 0

    @property
    def name(self) -> str:
        return self.draw.__name__

    @property
    def gaussian(self) -> bool:
        """Whether entries are normal draws."""
        return self.describe is normal_entries

    def intended(self, n_in: int, n_out: int) -> Distribution:
        """The intended distribution of one entry of a (n_in, n_out) weight.

        A scheme that does not describe it has no more than its variance.

        >>> scheme = INITS["kaiming_normal"]
        >>> scheme.intended(100, 50).text
        'N(0, 0.141²)'
        """
        variance = self.variance(n_in, n_out)
        std = None if variance is None else math.sqrt(variance)
        if self.describe is not None:
            return self.describe(n_in, n_out, std or 0.0)
        text = "no distribution stated" if std is None else f"variance {variance:.3g}"
        return Distribution(text, std)


INITS: Registry[InitScheme] = Registry("init scheme")
init_scheme = INITS.decorator(InitScheme)
"""Registers the decorated drawing function under its own name."""
