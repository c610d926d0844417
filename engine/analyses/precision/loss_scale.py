"""The loss scale: the power of two that brings all gradients into a format's range."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.engine.analyses.precision.formats import Format, fit
from layerscope.engine.statistics import Statistics

__all__ = ["FARTHEST", "TOLERATED", "LossScale", "loss_scale"]

TOLERATED = 0.01
"""Share of a tensor's nonzero entries that may become zero. Micikevicius et al. 2018 (Mixed
precision training) lost a few per cent of the gradients without harm; 1 % is on the safe side."""
FARTHEST = 1100
"""Exponents of float64 reach from −1074 to 1023: no scale beyond this changes anything."""


@dataclass(frozen=True, slots=True)
class LossScale:
    """Powers of two, as exponents, by which the loss may be multiplied, in place of what the
    experiment multiplies it with.

    ``least``: the smallest that keeps the underflow of every tensor within `TOLERATED`. ``most``:
    the largest at which nothing overflows. Both are None where a gradient is not finite already, or
    none differs from zero. ``advised``: 0 where no scaling is needed, else the one of the two
    nearest to 0; None where the gradients span more powers of two than the format has, so that no
    one scale saves them all.
    """

    format: str
    least: int | None
    most: int | None
    advised: int | None

    def to_dict(self) -> dict[str, object]:
        return {
            "format": self.format,
            "tolerated": TOLERATED,
            "least_exponent": self.least,
            "most_exponent": self.most,
            "advised_exponent": self.advised,
            "scale": None if self.advised is None else math.ldexp(1.0, min(self.advised, 1023)),
        }


def loss_scale(
    gradients: Sequence[Statistics], format: Format, has: float = 1.0  # noqa: A002
) -> LossScale:  # fmt: skip
    """The scales that save these gradients, which are multiplied by ``has`` already; the backward
    pass is linear, so all scale alike.

    >>> import torch
    >>> from layerscope.engine.analyses.precision.formats import FORMATS
    >>> from layerscope.engine.statistics import statistics
    >>> s = loss_scale([statistics(torch.tensor([2.0**-40, 2.0**-20]))], FORMATS["float16"])
    >>> s.least, s.most, s.advised
    (15, 35, 15)
    """
    known = [s for s in gradients if s.histogram.total]
    if not known or any(s.finite < s.count for s in gradients):
        return LossScale(format.name, None, None, None)
    largest = max(max(abs(s.min or 0.0), abs(s.max or 0.0)) for s in known)
    most = format.max_exponent + 1 - math.frexp(largest)[1]
    while format.overflows(math.ldexp(largest, most)):
        most -= 1
    most = math.floor(most + math.log2(has))
    least = math.ceil(max(_least(s, format) for s in known) + math.log2(has))
    advised = min(max(0, least), most) if least <= most else None
    return LossScale(format.name, least, most, advised)


def _least(s: Statistics, format: Format) -> int:  # noqa: A002
    """By bisection: the larger the scale, the fewer entries become zero."""

    def kept(scale: int) -> bool:
        found = fit(s.histogram, format, scale)
        return found.underflow <= TOLERATED * found.counted

    scales = range(1 - 2 * FARTHEST, 2 * FARTHEST)  # before these all is lost, after them nothing
    return scales.start + bisect_left(scales, True, key=kept)
