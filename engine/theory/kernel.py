"""Two inputs through one activation: the correlation of φ(u) and φ(v), from Hermite shares.

By Mehler's formula E[φ(u)φ(v)] = Σ_k h_k² c^k. The first `ORDER` terms are kept; the rest, which
matters only near c = 1, is one term R·c^p whose size and power make the value *and* the slope at
c = 1 exact: E[φ²] and q·E[φ'²]. So c* = 1 and χ1 come out exact; between, the error is below
`ACCURACY` of E[φ²] up to c = 0.9 and below `NEAR_ONE` from there on, where a kink's shares fall off
slowest (for q up to 10; a saturated activation, q in the hundreds, 1e-2 near c = 0.99).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from layerscope.engine.theory.moments import ORDER, Moments, Spectrum

__all__ = ["ACCURACY", "NEAR_ONE", "Around", "Kernel", "fixed_correlation"]

ACCURACY, NEAR_ONE = 1e-4, 2e-3

_K = np.arange(ORDER)


class Around(NamedTuple):
    """``at`` one correlation, with φ = φ(u), φ̃ = φ(v), and ψ = φ − E[φ]: E[φφ̃]/E[φ²] with its first
    and second derivative by the correlation, Cov(φ², φ̃²)/E[φ²]², E[φ'²φ̃'²]/E[φ'²]² and
    Cov(ψ², ψ̃²)/E[ψ²]²."""

    at: float
    same: float
    rate: float
    bend: float
    squares: float
    slopes: float
    variances: float


class Kernel:
    """E[φ(u)φ(v)]/E[φ²] and its kin as functions of the correlation c of u and v.

    Args:
        log_q: ln of the variance of u and v.
        m, spectrum: the activation's moments and Hermite shares at that length.
    """

    def __init__(self, log_q: float, m: Moments, spectrum: Spectrum) -> None:
        shares = spectrum.shares
        totals: list[float] = shares.sum(axis=1).tolist()
        self.elasticity = math.exp(min(700.0, log_q + m.log_slope2 - m.log_second))
        """q·E[φ'²]/E[φ²], the slope of E[φ(u)φ(v)]/E[φ²] at c = 1."""
        self._coefficients = np.zeros((6, ORDER))
        self._coefficients[:4] = shares
        self._coefficients[4, :-1] = shares[0, 1:] * _K[1:]
        self._coefficients[5, :-2] = shares[0, 2:] * _K[2:] * _K[1:-1]
        slope = 4 * self.elasticity * m.mixed / m.kurtosis  # of E[φ(u)²φ(v)²]/E[φ⁴] at c = 1
        self._tails = (
            _tail(1 - totals[0], self.elasticity - float(shares[0] @ _K)),
            _tail(1 - totals[1], slope - float(shares[1] @ _K)),
            _tail(1 - totals[2], 2 * ORDER * (1 - totals[2])),
            _tail(1 - totals[3], 2 * ORDER * (1 - totals[3])),
        )
        self._kurtosis, self._slope_kurtosis = m.kurtosis, m.slope_kurtosis
        self._variance_kurtosis = m.variance_kurtosis

    def at(self, c: float) -> Around:
        """At correlation c."""
        c = _inside(c)
        return self._around(c, (self._coefficients @ c**_K).tolist())

    def at_two(self, one: float, other: float) -> tuple[Around, Around]:
        """At two of them at once."""
        one, other = _inside(one), _inside(other)
        both = self._coefficients @ (np.array(((one,), (other,))) ** _K).T  # (6, 2)
        a, b = both.T.tolist()
        return self._around(one, a), self._around(other, b)

    def _around(self, c: float, sums: list[float]) -> Around:
        same, squares, slopes, about, rate, bend = sums
        size = abs(c)
        if size > 0.3:
            (r0, p0), (r1, p1), (r2, p2), (r3, p3) = self._tails
            power = r0 * size ** (p0 - 2) if r0 else 0.0
            same += power * size * size
            rate += power * p0 * size
            bend += power * p0 * (p0 - 1)
            squares += r1 * size**p1
            slopes += r2 * size**p2
            about += r3 * size**p3
        return Around(
            c, same, rate, bend, self._kurtosis * squares - 1, self._slope_kurtosis * slopes,
            self._variance_kurtosis * about - 1,
        )  # fmt: skip


def _inside(c: float) -> float:
    return 1.0 if c > 1.0 else -1.0 if c < -1.0 else c


def _tail(rest: float, slope: float) -> tuple[float, float]:
    """(R, p) of the term R·c^p that stands for all orders from `ORDER` on."""
    if rest < 1e-13:
        return 0.0, float(ORDER)
    return rest, max(float(ORDER), slope / rest)


def fixed_correlation(kernel: Kernel, share: float) -> tuple[float, float]:
    """The stable fixed point c* ≥ 0 of c → share·E[φφ̃]/E[φ²] + (1 − share), and the slope there.

    ``share`` is the part σw²E[φ²]/q of the length that the weights make; the bias, common to both
    inputs, makes the rest. The map is convex on [0, 1] and keeps c = 1: c* = 1 exactly when its
    slope there, χ1, is at most 1.
    """
    at_one = share * kernel.elasticity
    if at_one <= 1 + 1e-9:
        return 1.0, at_one
    low, high = 0.0, 1.0 - 1e-9
    if share * kernel.at(high).same + 1 - share >= high:
        return 1.0, at_one
    for _ in range(60):
        middle = (low + high) / 2
        if share * kernel.at(middle).same + 1 - share > middle:
            low = middle
        else:
            high = middle
        if high - low < 1e-14:
            break
    c = (low + high) / 2
    if c < 1e-12:
        c = 0.0
    return c, share * kernel.at(c).rate
