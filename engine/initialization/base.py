"""What an init scheme is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from layerscope.engine.basis.registry import Registry

__all__ = ["INITS", "Draw", "InitScheme", "init_scheme"]


class Draw(Protocol):
    """A function that draws a float32 weight of shape (n_in, n_out)."""

    def __call__(self, n_in: int, n_out: int, *, generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class InitScheme:
    """How weights are drawn.

    ``variance(n_in, n_out)`` is the intended variance of one entry, None where there is no such
    figure; ``mean_field`` says whether entries are (nearly) independent and centred, so that signal
    propagation theory speaks of them. ``calibrate`` rescales a drawn weight once its input is
    known: ``calibrate(weight, x) -> weight``. ``orthogonal``: columns or rows are orthonormal, for
    which a draw costs a QR decomposition; ``gaussian``: entries are normal draws.
    """

    name: str
    formula: str
    source: str
    help: str
    assumes: str
    draw: Draw
    variance: Callable[[int, int], float | None]
    mean_field: bool = True
    calibrate: Callable[[Tensor, Tensor], Tensor] | None = None
    orthogonal: bool = False
    gaussian: bool = False


INITS: Registry[InitScheme] = Registry("init scheme")


def init_scheme(
    *,
    formula: str,
    source: str,
    help: str,  # noqa: A002  the registry's own word
    assumes: str,
    variance: Callable[[int, int], float | None],
    mean_field: bool = True,
    calibrate: Callable[[Tensor, Tensor], Tensor] | None = None,
    orthogonal: bool = False,
    gaussian: bool = False,
) -> Callable[[Draw], Draw]:
    """Register the decorated drawing function under its own name."""

    def register(draw: Draw) -> Draw:
        name: str = draw.__name__  # type: ignore[attr-defined]
        INITS.register(
            InitScheme(
                name,
                formula,
                source,
                help,
                assumes,
                draw,
                variance,
                mean_field,
                calibrate,
                orthogonal,
                gaussian,
            )
        )
        return draw

    return register
