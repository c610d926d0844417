"""The second moment of the loss's gradient by the network's output, given the output's length."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from layerscope.engine.theory.kernel import Kernel
from layerscope.engine.theory.moments import moment_table

__all__ = ["LOSS_THEORY", "LossGradient", "loss_gradient"]

STEP = 0.01  # in ln q, of the numerical derivative of a loss without a closed form


class LossGradient(NamedTuple):
    """``log_second``: ln E[(∂L/∂out)²] per entry; ``response``, ``bend``: its first and second
    derivative by ln q of the output; ``cross``: E[g_α g_β]/E[g²] for two samples, and ``drift`` its
    derivative by their outputs' correlation; ``noise``: relative variance of a squared entry."""

    log_second: float
    response: float
    bend: float
    cross: float
    drift: float
    noise: float


class _Output(NamedTuple):
    """N(0, e^log_q) against targets of a given second moment."""

    log_q: float
    target: float
    batch: int
    outputs: int

    @property
    def entries(self) -> int:
        return self.batch * self.outputs

    @property
    def log_difference(self) -> float:
        """ln E[(out − y)²]."""
        return float(np.logaddexp(self.log_q, _log(self.target)))


def _mse(at: _Output) -> float:
    """L = mean((out − y)²): g = 2(out − y)/N."""
    return math.log(4.0) + at.log_difference - 2 * math.log(at.entries)


def _mae(at: _Output) -> float:
    """L = mean|out − y|: g = ±1/N."""
    return -2 * math.log(at.entries)


def _huber(at: _Output) -> float:
    """L = mean huber(out − y), δ = 1: g is the difference cut off at ±1, over N."""
    return moment_table("hardtanh").at(at.log_difference).log_second - 2 * math.log(at.entries)


def _cross_entropy(at: _Output) -> float:
    """L = −mean ln softmax(out)[y]: g = (p − onehot)/B, labels independent of the network."""
    peak = _softmax_square(round(min(at.log_q, 12.0), 6), at.outputs)
    second = max(0.0, peak * at.outputs - 2 / at.outputs + 1) / at.outputs
    return _log(second) - 2 * math.log(at.batch)


@lru_cache(maxsize=4096)
def _softmax_square(log_q: float, outputs: int) -> float:
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


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -1e8


LOSS_THEORY: dict[str, Callable[[_Output], float]] = {
    "mse": _mse,
    "mae": _mae,
    "l1": _mae,
    "huber": _huber,
    "smooth_l1": _huber,
    "cross_entropy": _cross_entropy,
}
"""Losses whose gradient theory is known, by registry name."""


def loss_gradient(
    loss: str, log_q: float, cross: float, *, target: float, batch: int, outputs: int
) -> LossGradient:
    """The gradient that the loss sends into a network whose output is N(0, e^log_q).

    Args:
        cross: correlation of two samples' outputs.
        target: second moment of the targets, independent of the network and of one another.

    Errors: ``KeyError`` for a loss without theory.

    Example:
        >>> g = loss_gradient("mse", 0.0, 0.0, target=1.0, batch=10, outputs=1)
        >>> round(math.exp(g.log_second), 12), round(g.response, 9)
        (0.08, 0.5)
    """
    second = LOSS_THEORY[loss]
    entries = batch * outputs

    def at(x: float) -> float:
        return second(_Output(x, target, batch, outputs))

    if loss == "mse":
        here = at(log_q)
        share = math.exp(max(-800.0, log_q + math.log(4.0) - 2 * math.log(entries) - here))
        return LossGradient(here, share, share * (1 - share), share * cross, share, 2.0)
    below, here, above = at(log_q - STEP), at(log_q), at(log_q + STEP)
    response = (above - below) / (2 * STEP)
    bend = (above - 2 * here + below) / STEP**2
    common, drift = _cross(loss, log_q, cross, target, response)
    noise = 0.0  # of mae exactly; of cross_entropy while the softmax is flat
    if loss in ("huber", "smooth_l1"):
        difference = _Output(log_q, target, batch, outputs).log_difference
        noise = moment_table("hardtanh").at(difference).kurtosis - 1
    return LossGradient(here, response, bend, common, drift, noise)


def _cross(
    loss: str, log_q: float, cross: float, target: float, response: float
) -> tuple[float, float]:
    """Correlation of two samples' gradients, and its derivative by that of their outputs."""
    if loss == "cross_entropy":  # linear in the logits, which is what small ones are
        return response * cross, response
    total = float(np.logaddexp(log_q, _log(target)))
    share = math.exp(max(-800.0, log_q - total))
    rho = min(0.999, max(-0.999, share * cross))  # correlation of the differences out − y
    if loss in ("huber", "smooth_l1"):
        table = moment_table("hardtanh")
        same, rate, _, _ = Kernel(total, table.at(total), table.spectrum(total)).at(rho)
        return same, share * rate
    slope = 2 / (math.pi * math.sqrt(1 - rho * rho))  # signs: 2/π·arcsin ρ
    return 2 / math.pi * math.asin(rho), share * slope
