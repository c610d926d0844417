"""The straight line through points, by NumPy: scipy.stats alone takes longer to load than all else
that the engine needs beside torch."""

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
    """Least squares.

    Errors: ``ValueError`` for fewer than two different x.

    >>> line = line_through([0, 1, 2, 3], [1, 3, 5, 8])
    >>> round(line.slope, 3), round(line.at_zero, 3), round(line.slope_error, 3)
    (2.3, 0.8, 0.173)
    """
    if len(set(x)) < 2:
        raise ValueError(f"a line through points at {len(set(x))} places; expected two or more")
    if min(y) == max(y):  # exactly, and not to rounding
        return Line(0.0, float(y[0]), 0.0 if len(x) > 2 else math.inf)
    if len(x) == 2:
        slope, at_zero = np.polyfit(x, y, 1)
        return Line(float(slope), float(at_zero), math.inf)
    (slope, at_zero), covariance = np.polyfit(x, y, 1, cov=True)
    return Line(float(slope), float(at_zero), math.sqrt(covariance[0, 0]))
