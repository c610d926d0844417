"""Signal propagation in wide layers: lengths, slopes, correlations and their fixed points.

z^l = W^l φ(z^(l−1)) + b^l with W_ij ~ N(0, σw²/n), b_i ~ N(0, σb²). Sources: Poole et al. 2016
(length and correlation maps), Schoenholz et al. 2017 (χ1 and depth scales).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import brentq

from layerscope.engine.theory.kernel import Kernel, fixed_correlation
from layerscope.engine.theory.moments import MAX_LOG_Q, MomentTable, moment_table
from layerscope.engine.theory.quadrature import pair_expectation

__all__ = [
    "CRITICAL", "TRAINABLE", "FixedPoint", "Phase", "chi", "correlation_map",
    "correlation_path", "depth_scale", "fixed_point", "length_map", "length_path",
    "log_length_map", "phase_of",
]  # fmt: skip

CRITICAL = 1e-3
"""|χ1 − 1| up to here is called critical: the depth scale is then beyond 1000 layers, more than
any network here has."""
TRAINABLE = 6.0  # trainable depth in units of ξc: Schoenholz et al. 2017, figure 5
FLAT = 1e-11  # a relative change of length per layer below this is rounding
NEAR = 8.0  # |ln q| within which fixed points are looked for in small steps
MARGINAL = 1e-9  # a length scale 1/|ln slope| beyond 1e9 layers is infinite

Phase = Literal["ordered", "chaotic", "critical"]
Kind = Literal["finite", "zero", "infinite", "any"]


def _check(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is a variance and must be finite and ≥ 0, got {value!r}")


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _add(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    high, low = (a, b) if a >= b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def log_length_map(
    table: MomentTable, log_q: float, log_sigma_w2: float, log_sigma_b2: float
) -> float:
    """ln(σw² E[φ(√q Z)²] + σb²), all in logarithms, so that no depth overflows."""
    return _add(log_sigma_w2 + table.log_second(log_q), log_sigma_b2)


def length_map(activation: str, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """q^(l+1) = σw² E[φ(√q^l Z)²] + σb², the variance of a pre-activation.

    Errors: ``ValueError`` for a negative or non-finite variance.

    Example:
        >>> round(length_map("relu", 3.0, 2.0, 0.5), 12)
        3.5
    """
    for name, value in (("q", q), ("sigma_w2", sigma_w2), ("sigma_b2", sigma_b2)):
        _check(name, value)
    table = moment_table(activation)
    if q == 0:
        return sigma_w2 * table.at_zero**2 + sigma_b2
    return sigma_w2 * math.exp(table.at(math.log(q)).log_second) + sigma_b2


def _of_each(sigma_w2: float | Sequence[float], depth: int) -> list[float]:
    """ln σw² of the layers 2 … depth."""
    each = sigma_w2 if isinstance(sigma_w2, Sequence) else [sigma_w2] * (depth - 1)
    if len(each) != depth - 1:
        raise ValueError(f"expected σw² of {depth - 1} layers, got {len(each)}")
    return [_log(variance) for variance in each]


def length_path(
    activation: str, q: float, sigma_w2: float | Sequence[float], sigma_b2: float, depth: int
) -> list[float]:
    """ln q at layers 1 … depth, from q at the first; −inf where the length is 0.

    ``sigma_w2`` is that of all further layers, or of each of them.
    """
    table, b = moment_table(activation), _log(sigma_b2)
    path = [_log(q)]
    for w in _of_each(sigma_w2, depth):
        now = path[-1]
        if now == -math.inf:
            path.append(_add(w + 2 * _log(abs(table.at_zero)), b))
        else:
            path.append(log_length_map(table, now, w, b))
    return path


def chi(activation: str, q: float, sigma_w2: float) -> float:
    """χ = σw² E[φ'(√q Z)²]: what a layer does to the second moment of the gradient, going back.

    Example:
        >>> round(chi("relu", 0.3, 2.0), 12)
        1.0
    """
    _check("q", q)
    log_q = math.log(q) if q > 0 else -1e3
    return sigma_w2 * math.exp(moment_table(activation).at(log_q).log_slope2)


def depth_scale(slope: float | None) -> float | None:
    """ξ = −1/ln(slope), the depth over which a deviation falls by e; ``None`` if it does not."""
    if slope is None or slope >= 1 - MARGINAL:
        return None
    return 0.0 if slope <= 0 else -1 / math.log(slope)


def phase_of(chi1: float | None) -> Phase:
    """The side of the edge of chaos; χ1 = ``None`` stands for an infinite slope."""
    if chi1 is None or chi1 > 1 + CRITICAL:
        return "chaotic"
    return "ordered" if chi1 < 1 - CRITICAL else "critical"


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Where the length and the correlation settle, and how fast.

    ``kind`` says what q* is: ``finite``, ``zero``, ``infinite`` (q grows without limit) or ``any``
    (every length is kept: q* is then the one started from). ``q_star`` is ``None`` when infinite.
    ``chi_length`` is the elasticity of the length map at q*, ``chi_c`` the slope of the correlation
    map at c*. ``xi_q``, ``xi_c`` are ``None`` when nothing settles exponentially.
    ``trainable_depth`` = 6 ξc, ``None`` when unlimited.
    """

    kind: Kind
    q_star: float | None
    chi1: float | None
    chi_length: float | None
    c_star: float
    chi_c: float | None
    xi_q: float | None
    xi_c: float | None
    trainable_depth: float | None
    phase: Phase


def _settle(table: MomentTable, log_q: float, w: float, b: float) -> tuple[Kind, float]:
    """The fixed point that iteration from ``log_q`` reaches: E[φ²] grows with q, so iterates move
    one way, to the next crossing on that side."""

    def gap(x: float) -> float:
        return log_length_map(table, x, w, b) - x

    start = gap(log_q)
    if abs(start) < FLAT and (table.homogeneous or abs(gap(log_q + 0.1)) > FLAT):
        return ("any" if table.homogeneous and b == -math.inf else "finite"), log_q
    way = 1 if start > 0 else -1
    before, x = log_q, log_q
    while abs(x) <= MAX_LOG_Q:
        x += way * (0.5 if abs(x) < NEAR else 4.0)
        here = gap(x)
        if here * way < -FLAT:
            return "finite", float(brentq(gap, before, x, xtol=1e-14, rtol=1e-14))
        if abs(here) <= FLAT:  # the map has become the identity: it only creeps from here on
            break
        before = x
    return ("infinite", MAX_LOG_Q + 1) if way > 0 else ("zero", -MAX_LOG_Q - 1)


def fixed_point(
    activation: str, sigma_w2: float, sigma_b2: float, *, start: float | None = None
) -> FixedPoint:
    """The fixed point of the length map reached from q = ``start``, with everything that follows.

    Args:
        activation: registered name.
        sigma_w2, sigma_b2: variances of weights (times fan-in) and biases, ≥ 0.
        start: q of the first layer; σw² + σb², an input of unit variance, unless given.

    Errors:
        ``ValueError`` for negative or non-finite variances; ``KeyError`` for an unknown name.

    Example:
        >>> point = fixed_point("relu", 1.0, 0.5)
        >>> point.kind, round(point.q_star, 9), round(point.chi1, 9), point.phase
        ('finite', 1.0, 0.5, 'ordered')
        >>> fixed_point("relu", 3.0, 0.0).kind
        'infinite'
    """
    _check("sigma_w2", sigma_w2)
    _check("sigma_b2", sigma_b2)
    table = moment_table(activation)
    first = sigma_w2 + sigma_b2 if start is None else start
    _check("start", first)
    w, b = max(-1e6, _log(sigma_w2)), _log(sigma_b2)
    kind, log_q = _settle(table, max(-MAX_LOG_Q, _log(first)), w, b)
    m = table.at(log_q)
    log_chi = w + m.log_slope2
    chi1 = math.exp(log_chi)
    if kind == "infinite" and m.slope_growth > 0.01:  # φ' grows without limit, and χ with it
        chi1 = math.inf
    elif kind != "finite" and abs(m.slope_growth) > 0.01:  # falls to 0 at the limit
        chi1 = 0.0
    total = _add(w + m.log_second, b)
    share = math.exp(w + m.log_second - total)
    c_star, chi_c = fixed_correlation(Kernel(log_q, m, table.spectrum(log_q)), share)
    chi_length = share * m.growth
    finite_chi = chi1 if math.isfinite(chi1) else None
    if c_star == 1.0 and kind != "infinite":
        chi_c = chi1
    xi_c = depth_scale(chi_c)
    if xi_c is not None and c_star == 1.0 and phase_of(finite_chi) == "critical":
        xi_c = xi_c if xi_c < 1 / MARGINAL else None
    return FixedPoint(
        kind=kind,
        q_star={"infinite": None, "zero": 0.0}.get(kind, math.exp(log_q)),
        chi1=finite_chi,
        chi_length=chi_length,
        c_star=c_star,
        chi_c=chi_c,
        xi_q=depth_scale(chi_length),
        xi_c=xi_c,
        trainable_depth=None if xi_c is None else TRAINABLE * xi_c,
        phase=phase_of(finite_chi),
    )


def correlation_map(activation: str, c: float, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """c^(l+1) = (σw² E[φ(u)φ(v)] + σb²)/q^(l+1) for two inputs of equal length q, by quadrature.

    Exact to about 1e-9, in two dimensions; `correlation_path` uses a series instead.

    Errors: ``ValueError`` for q ≤ 0, c outside [−1, 1] or variances that are negative.

    Example:
        >>> round(correlation_map("relu", 0.0, 1.0, 2.0, 0.0), 9) == round(1 / math.pi, 9)
        True
    """
    _check("sigma_w2", sigma_w2)
    _check("sigma_b2", sigma_b2)
    table = moment_table(activation)
    common = pair_expectation(table.function, table.function, q, c, table.kinks)
    following = length_map(activation, q, sigma_w2, sigma_b2)
    if following == 0:
        raise ValueError("the next length is 0: no correlation is defined")
    return (sigma_w2 * common + sigma_b2) / following


def correlation_path(
    activation: str, c: float, q: float, sigma_w2: float | Sequence[float], sigma_b2: float,
    depth: int,
) -> list[float]:  # fmt: skip
    """Correlation of two inputs at layers 1 … depth, from c and the common length q at the first;
    ``sigma_w2`` as of `length_path`.

    Example:
        >>> path = correlation_path("relu", 0.0, 1.0, 2.0, 0.0, 3)
        >>> [round(c, 3) for c in path]
        [0.0, 0.318, 0.494]
    """
    table, b = moment_table(activation), _log(sigma_b2)
    log_q, path = _log(q), [c]
    for w in _of_each(sigma_w2, depth):
        m = table.at(log_q)
        following = _add(w + m.log_second, b)
        if following == -math.inf:
            raise ValueError("the length is 0: no correlation is defined")
        share = math.exp(w + m.log_second - following)
        same = Kernel(log_q, m, table.spectrum(log_q)).at(path[-1]).same
        path.append(min(1.0, share * same + 1 - share))
        log_q = following
    return path
