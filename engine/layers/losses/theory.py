"""What a loss tells mean-field theory of its gradient, as data and functions of numbers. In
expectation over networks the output is N(0, q), independent of the targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = [
    "Hermite", "LossTheory", "OfDifference", "OfLogits", "PowerOfDifference", "hermite_of_sign",
    "of_signs", "softmax_fluctuation", "softmax_second_moment",
]  # fmt: skip

Array = npt.NDArray[np.float64]
ORDER = 64  # Hermite coefficients of a sign: their squares fall as k^−1.5
DRAWS = 1000
LARGE_ROOT = 32.0
"""Standard deviation of logits from which on softmax is told by its limit."""
Hermite = Callable[[float], Array]


class PowerOfDifference(NamedTuple):
    """∂L/∂y = ψ(y − t)/N over N entries, with E[ψ(d)²] = factor·E[d²]^degree for Gaussian d."""

    log_factor: float
    degree: int
    correlation: Callable[[float], tuple[float, float]]
    """E[ψ(d)ψ(d')]/E[ψ²] for d, d' of correlation ρ, and its derivative by ρ."""
    noise: float
    """Relative variance of ψ²."""
    hermite: Hermite | None = None
    """Coefficients of ψ(y − t) by orthonormal Hermite polynomials of y/σ, given t/σ; None: Gaussian
    targets are assumed."""


class OfDifference(NamedTuple):
    """∂L/∂y = ψ(y − t)/N over N entries, for a ψ whose moments are found by quadrature."""

    slope: Callable[[Tensor], Tensor]
    """ψ, elementwise."""
    curvature: Callable[[Tensor], Tensor]
    """ψ', elementwise."""
    kinks: tuple[float, ...] = ()
    """Where either jumps."""


class OfLogits(NamedTuple):
    """A gradient that is linear in logits near 0, for labels independent of the network."""

    log_second: Callable[[float, int, int], float]
    """ln E[(∂L/∂y)²] per entry, by ln q, batch and number of outputs."""
    fluctuation: Callable[[float, float, int], tuple[float, float, float]]
    """By ln q, correlation of two samples' logits, and number of outputs: relative variance of a
    sample's Σ(∂L/∂y)², covariance of two samples', and the part of the first that the label makes.
    """


LossTheory = PowerOfDifference | OfDifference | OfLogits


def of_signs(rho: float) -> tuple[float, float]:
    """Correlation of two signs: 2/π·arcsin ρ."""
    rho = min(0.999, max(-0.999, rho))
    return 2 / math.pi * math.asin(rho), 2 / (math.pi * math.sqrt(1 - rho * rho))


def hermite_of_sign(at: float) -> Array:
    """Coefficients of sign(z − at) for z ~ N(0, 1): h_0 = 1 − 2Φ, h_k = 2φ·he_(k−1)(at)/√k."""
    h = np.zeros(ORDER)
    h[0] = -math.erf(at / math.sqrt(2))
    if abs(at) > 30:
        return h
    before, now = 0.0, 2 * math.exp(-0.5 * at * at) / math.sqrt(2 * math.pi)
    for k in range(1, ORDER):
        h[k] = now / math.sqrt(k)
        before, now = now, (at * now - math.sqrt(k - 1) * before) / math.sqrt(k)
    return h


@lru_cache(maxsize=4)
def _draws(outputs: int) -> tuple[Array, Array]:
    """Two independent sets of standard normal logits, (DRAWS, outputs) each, always the same."""
    both = np.random.default_rng(0).normal(size=(2, DRAWS, outputs))
    return both[0], both[1]


@lru_cache(maxsize=1024)
def _softmax_fluctuation(log_q: float, cross: float, outputs: int) -> tuple[float, float, float]:
    one, other = _draws(outputs)
    ps = []
    for z in (one, cross * one + math.sqrt(1 - cross * cross) * other):
        e = np.exp(math.exp(log_q / 2) * (z - z.max(axis=1, keepdims=True)))
        ps.append(e / e.sum(axis=1, keepdims=True))
    sums = [(p * p).sum(axis=1) for p in ps]
    second = float(sums[0].mean() - 2 / outputs + 1)
    of_labels = 4 * float(ps[0].var(axis=1).mean()) / second**2
    shared = float(np.cov(*sums)[0, 1]) / second**2
    return float(sums[0].var()) / second**2 + of_labels, max(0.0, shared), of_labels


def softmax_fluctuation(log_q: float, cross: float, outputs: int) -> tuple[float, float, float]:
    """`OfLogits.fluctuation` of a softmax less a one-hot label: of s = Σp² − 2p_label + 1.

    From a thousand fixed draws: to 5 % of its size, which is enough for a band.
    """
    if outputs < 2:
        return 0.0, 0.0, 0.0
    return _softmax_fluctuation(round(min(12.0, max(-30.0, log_q)), 2), round(cross, 2), outputs)


def softmax_second_moment(log_q: float, outputs: int) -> float:
    """E[p₁²] of a softmax over independent N(0, q) logits.

    1/S² = ∫ t·e^(−tS) dt turns E[e^(2z₁)/(Σ e^(z_j))²] into ∫ t·L''(t)·L(t)^(m−1) dt with
    L(t) = E[exp(−t·e^z)]: two integrals of one variable each, here by the trapezoid rule, with
    logits half a unit apart at most. Where these would be too many, softmax has nearly left one of
    the outputs: 1 − m·E[p₁²], which the largest two share, goes by how often they are close, 1/√q.
    """
    if log_q < -20:
        return 1 / outputs**2
    root = math.exp(log_q / 2)
    if root > LARGE_ROOT:
        shared = 1 - outputs * softmax_second_moment(2 * math.log(LARGE_ROOT), outputs)
        return (1 - shared * LARGE_ROOT / root) / outputs
    z = np.linspace(-8, 8, max(65, math.ceil(32 * root) + 1))
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    s = np.linspace(-8 * root - math.log(outputs) - 12, 8 * root + 4, 161)  # t = e^s
    exponent = s[:, None] + root * z  # (161, 65)
    decay = np.exp(-np.exp(np.minimum(exponent, 60.0)))
    laplace = decay @ weight
    second = (decay * np.exp(2 * np.minimum(exponent, 60.0))) @ weight  # t²·L''(t)
    return float(np.trapezoid(second * laplace ** (outputs - 1), s))
