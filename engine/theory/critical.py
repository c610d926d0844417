"""The edge of chaos: where χ1(q*) = 1, as a curve in the (σw², σb²) plane.

At the edge two equations hold, q = σw²E[φ²] + σb² and 1 = σw²E[φ'²]. Given q, the second names σw²
and the first then σb²: the whole curve is explicit in q, and a critical point for a given σb² is a
root of one function, q − E[φ²]/E[φ'²] = σb².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from layerscope.engine.theory.moments import MAX_LOG_Q, Moments, MomentTable, moment_table
from layerscope.engine.theory.quadrature import Array

__all__ = [
    "CriticalPoint", "NoCriticalPoint", "critical_curve", "critical_point", "critical_points",
]  # fmt: skip

SCAN = 0.125  # step in ln q of the search for roots
SMALLEST = math.log(1e-12)  # below, q − E[φ²]/E[φ'²] is lost to rounding
NEUTRAL = 1e-11  # relative size below which q − E[φ²]/E[φ'²] is zero at every q


class NoCriticalPoint(ValueError):
    """This activation has no critical point for this σb²; the message says why."""


@dataclass(frozen=True, slots=True)
class CriticalPoint:
    """A point of the edge of chaos.

    ``q_star`` is ``None`` where every length is kept (any q is a fixed point). ``stable``: the
    length map comes back to q* after a small change; an unstable point is passed, not reached.
    """

    sigma_w2: float
    sigma_b2: float
    q_star: float | None
    chi_length: float
    stable: bool


def _excess(m: Moments, log_q: float) -> float:
    """(q − E[φ²]/E[φ'²])/q: the bias variance at the edge, as a share of the length."""
    return -math.expm1(m.log_second - m.log_slope2 - log_q)


def _point(table: MomentTable, log_q: float, sigma_b2: float) -> CriticalPoint:
    m = table.at(log_q)
    slope = math.exp(m.log_second - m.log_slope2 - log_q) * m.growth
    return CriticalPoint(math.exp(-m.log_slope2), sigma_b2, math.exp(log_q), slope, slope < 1)


def _scan(table: MomentTable) -> tuple[Array, Array]:
    log_q = np.arange(SMALLEST, MAX_LOG_Q, SCAN)
    curves = table.curves(log_q)
    return log_q, -np.expm1(curves[:, 0] - curves[:, 5] - log_q)


def critical_points(activation: str, sigma_b2: float) -> list[CriticalPoint]:
    """Every (σw², q*) with q* = σw²E[φ²] + σb² and σw²E[φ'²] = 1, by ascending q*.

    For σb² = 0 the point at q* = 0, where only the slope at the origin counts, is one of them.

    Errors: ``ValueError`` for a σb² that is negative or not finite.
    """
    if not (math.isfinite(sigma_b2) and sigma_b2 >= 0):
        raise ValueError(f"sigma_b2 is a variance and must be finite and ≥ 0, got {sigma_b2!r}")
    table = moment_table(activation)
    if table.homogeneous:
        m = table.at(0.0)
        if sigma_b2 == 0 and abs(_excess(m, 0.0)) < NEUTRAL:
            return [CriticalPoint(math.exp(-m.log_slope2), 0.0, None, 1.0, True)]
        return []
    points = []
    if sigma_b2 == 0 and table.at_zero == 0:
        points += _at_origin(table)
    log_q, share = _scan(table)
    sign = share > sigma_b2 * np.exp(-log_q)
    if sigma_b2 == 0:
        firm = np.abs(share) >= NEUTRAL  # nowhere, where φ is homogeneous but for rounding
        sign[~firm] = sign[firm][0] if firm.any() else False

    def gap(x: float) -> float:
        return _excess(table.at(x), x) - sigma_b2 * math.exp(-x)

    for i in np.flatnonzero(sign[1:] != sign[:-1]):
        low, high = float(log_q[i]), float(log_q[i + 1])
        if gap(low) * gap(high) < 0:
            root = float(brentq(gap, low, high, xtol=1e-14, rtol=1e-14))
            points.append(_point(table, root, sigma_b2))
    return points


def _at_origin(table: MomentTable) -> list[CriticalPoint]:
    """σb = 0: the length 0 is kept; χ1 there is σw² times the mean squared slope at 0."""
    m = table.at(-MAX_LOG_Q)
    if abs(m.slope_growth) > 0.01:  # φ'(0) = 0: no weights make χ1 = 1
        return []
    near = table.at(SMALLEST / 3)  # q = 1e-4: does the length grow from near 0?
    gain = near.log_second - SMALLEST / 3 - m.log_slope2
    return [CriticalPoint(math.exp(-m.log_slope2), 0.0, 0.0, 1.0, gain < 1e-9)]


def critical_point(activation: str, sigma_b2: float = 0.0) -> CriticalPoint:
    """The critical point for this bias variance: the stable one, or else the first.

    Errors:
        `NoCriticalPoint` (a ``ValueError``) saying why there is none.

    Example:
        >>> point = critical_point("tanh", 0.05)
        >>> round(point.sigma_w2, 3), round(point.q_star, 3)
        (1.761, 0.57)
        >>> round(critical_point("relu").sigma_w2, 12)
        2.0
        >>> critical_point("relu", 0.1)
        Traceback (most recent call last):
        ...
        layerscope.engine.theory.critical.NoCriticalPoint: relu has no critical point at \
sigma_b2 = 0.1: where χ1 = 1 (sigma_w2 = 2) every layer adds the bias variance and no length is kept
    """
    points = critical_points(activation, sigma_b2)
    for point in points:
        if point.stable:
            return point
    if points:
        return points[0]
    table = moment_table(activation)
    where = f"{activation} has no critical point at sigma_b2 = {sigma_b2:g}"
    if table.homogeneous:
        weights = math.exp(-table.at(0.0).log_slope2)
        raise NoCriticalPoint(
            f"{where}: where χ1 = 1 (sigma_w2 = {weights:g}) every layer adds the bias variance "
            "and no length is kept"
        )
    raise NoCriticalPoint(
        f"{where}: no length q satisfies q − E[φ²]/E[φ'²] = sigma_b2, so wherever the length "
        "settles χ1 is not 1"
    )


def _even(table: MomentTable, low: float, high: float, points: int) -> list[float]:
    """Values of ln q between which the curve runs about equally far in the (σw, σb) plane."""
    x = np.linspace(low, high, 2000)
    curves = table.curves(x)
    share = -np.expm1(curves[:, 0] - curves[:, 5] - x)
    sigma_w, sigma_b = np.exp(-curves[:, 5] / 2), np.sqrt(np.maximum(0.0, share) * np.exp(x))
    steps = np.hypot(np.diff(sigma_w), np.diff(sigma_b))
    length = np.concatenate([[0.0], np.cumsum(steps + 1e-12)])
    found: list[float] = np.interp(np.linspace(0, length[-1], points), length, x).tolist()
    return found


def critical_curve(
    activation: str, *, max_sigma_w: float = 10.0, max_sigma_b: float = 10.0, points: int = 400
) -> list[CriticalPoint]:
    """The edge of chaos inside 0 … max_sigma_w, 0 … max_sigma_b, ordered by q*.

    An explicit curve, not a search: each q gives σw² = 1/E[φ'²] and σb² = q − E[φ²]/E[φ'²]. For an
    activation whose edge is a single point (relu) the list holds that point.

    Errors: ``ValueError`` for bounds that are not positive or fewer than 2 points.
    """
    if not (max_sigma_w > 0 and max_sigma_b > 0 and points >= 2):
        raise ValueError(
            "expected positive bounds and at least 2 points, got "
            f"{max_sigma_w!r}, {max_sigma_b!r}, {points!r}"
        )
    table = moment_table(activation)
    origin = critical_points(activation, 0.0) if table.at_zero == 0 else []
    start = [p for p in origin if not p.q_star and math.sqrt(p.sigma_w2) <= max_sigma_w]
    if table.homogeneous:
        return start
    log_q, share = _scan(table)
    inside = (share > 0) & (share * np.exp(log_q) <= max_sigma_b**2)
    inside &= table.curves(log_q)[:, 5] >= -2 * math.log(max_sigma_w)
    if not inside.any():
        return start
    first, last = log_q[inside][0], log_q[inside][-1]
    curve = []
    for x in _even(table, max(first - SCAN, SMALLEST), last + SCAN, points):
        bias = _excess(table.at(x), x) * math.exp(x)
        point = _point(table, x, max(0.0, bias))
        if bias >= 0 and bias <= max_sigma_b**2 and point.sigma_w2 <= max_sigma_w**2:
            curve.append(point)
    return start + curve
