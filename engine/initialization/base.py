"""What an init scheme is, and the registry that holds all of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry
from layerscope.engine.initialization.distribution import Describe, Distribution

__all__ = ["INITS", "Draw", "Facts", "InitScheme", "init_scheme"]


class Draw(Protocol):
    """A function that draws a float32 weight of shape (n_in, n_out)."""

    def __call__(self, n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor: ...


class Facts(TypedDict, total=False):
    """What a scheme may say of itself; see `InitScheme`."""

    variance: Callable[[int, int], float | None]
    mean_field: bool
    calibrate: Callable[[Tensor, Tensor], Tensor] | None
    orthogonal: bool
    gaussian: bool
    describe: Describe
    draw_flops: Callable[[int, int], int]


def _nothing_known(n_in: int, n_out: int) -> float | None:  # noqa: ARG001
    return None


def _costs_nothing(n_in: int, n_out: int) -> int:  # noqa: ARG001
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InitScheme:
    """How weights are drawn.

    ``variance(n_in, n_out)`` is the intended variance of one entry, None where there is no such
    figure; ``mean_field`` says whether entries are (nearly) independent and centred, so that signal
    propagation theory speaks of them. ``calibrate`` rescales a drawn weight once its input is
    known: ``calibrate(weight, x) -> weight``. ``orthogonal``: columns or rows are orthonormal;
    ``gaussian``: entries are normal draws; ``describe``: the distribution of one entry;
    ``draw_flops``: what a draw costs beyond its random numbers.
    """

    name: str
    formula: str
    source: str
    help: str
    assumes: str
    draw: Draw
    variance: Callable[[int, int], float | None] = _nothing_known
    mean_field: bool = True
    calibrate: Callable[[Tensor, Tensor], Tensor] | None = None
    orthogonal: bool = False
    gaussian: bool = False
    describe: Describe | None = None
    draw_flops: Callable[[int, int], int] = _costs_nothing

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


def init_scheme(
    *,
    formula: str,
    source: str,
    help: str,  # noqa: A002  the registry's own word
    assumes: str = "",
    **facts: Unpack[Facts],
) -> Callable[[Draw], Draw]:
    """Register the decorated drawing function under its own name."""

    def register(draw: Draw) -> Draw:
        name: str = draw.__name__  # type: ignore[attr-defined]
        INITS.register(
            InitScheme(
                name=name, formula=formula, source=source, help=help, assumes=assumes, draw=draw,
                **facts,
            )
        )  # fmt: skip
        return draw

    return register
