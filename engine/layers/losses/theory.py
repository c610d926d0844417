"""What a loss tells mean-field theory of its gradient, as data and functions of numbers. In
expectation over networks the output is N(0, q), independent of the targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

__all__ = [
    "LossTheory", "OfDifference", "OfLogits", "PowerOfDifference", "of_signs",
    "softmax_second_moment",
]  # fmt: skip


class PowerOfDifference(NamedTuple):
    """∂L/∂y = ψ(y − t)/N over N entries, with E[ψ(d)²] = factor·E[d²]^degree for Gaussian d."""

    log_factor: float
    degree: int
    correlation: Callable[[float], tuple[float, float]]
    """E[ψ(d)ψ(d')]/E[ψ²] for d, d' of correlation ρ, and its derivative by ρ."""
    noise: float
    """Relative variance of ψ²."""


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


LossTheory = PowerOfDifference | OfDifference | OfLogits


def of_signs(rho: float) -> tuple[float, float]:
    """Correlation of two signs: 2/π·arcsin ρ."""
    rho = min(0.999, max(-0.999, rho))
    return 2 / math.pi * math.asin(rho), 2 / (math.pi * math.sqrt(1 - rho * rho))


def softmax_second_moment(log_q: float, outputs: int) -> float:
    """E[p₁²] of a softmax over independent N(0, q) logits.

    1/S² = ∫ t·e^(−tS) dt turns E[e^(2z₁)/(Σ e^(z_j))²] into ∫ t·L''(t)·L(t)^(m−1) dt with
    L(t) = E[exp(−t·e^z)]: two integrals of one variable each, here by the trapezoid rule.
    """
    if log_q < -20:
        return 1 / outputs**2
    root = math.exp(log_q / 2)
    z = np.linspace(-8, 8, 65)
    weight = np.exp(-0.5 * z * z)
    weight /= weight.sum()
    s = np.linspace(-8 * root - math.log(outputs) - 12, 8 * root + 4, 161)  # t = e^s
    exponent = s[:, None] + root * z  # (161, 65)
    decay = np.exp(-np.exp(np.minimum(exponent, 60.0)))
    laplace = decay @ weight
    second = (decay * np.exp(2 * np.minimum(exponent, 60.0))) @ weight  # t²·L''(t)
    return float(np.trapezoid(second * laplace ** (outputs - 1), s))
