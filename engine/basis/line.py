"""The straight line through points, without scipy.stats: loading that takes longer than all else
that the engine loads beside torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Line", "line_through"]


@dataclass(frozen=True, slots=True)
class Line:
    """y = ``at_zero`` + ``slope`` · x."""

    slope: float
    at_zero: float
    slope_error: float
    """Its standard error; 0 where all points lie at one height, inf with two: those any line
    meets."""


def line_through(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares: slope = cov(x, y)/var x, its error √((1 − r²)·var y/var x/(n − 2)).

    Errors: ``ValueError`` for fewer than two different x.

    >>> line = line_through([0, 1, 2, 3], [1, 3, 5, 8])
    >>> round(line.slope, 3), round(line.at_zero, 3), round(line.slope_error, 3)
    (2.3, 0.8, 0.173)
    """
    if len(set(x)) < 2:
        raise ValueError(f"a line through points at {len(set(x))} places; expected two or more")
    var_x, cov, _, var_y = (float(entry) for entry in np.cov(x, y, bias=True).flat)
    slope = cov / var_x
    error = math.inf
    if len(x) > 2:
        scale = math.sqrt(var_x * var_y)
        r = max(-1.0, min(1.0, cov / scale)) if scale else 1.0
        error = math.sqrt((1 - r**2) * var_y / var_x / (len(x) - 2))
    return Line(slope, float(np.mean(y)) - slope * float(np.mean(x)), error)
