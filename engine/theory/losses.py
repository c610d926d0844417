"""The second moment of the loss's gradient by the network's output, given the output's length."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from layerscope.engine.layers.losses.theory import (
    LossTheory,
    OfDifference,
    OfLogits,
    PowerOfDifference,
)
from layerscope.engine.theory.forward import log_of
from layerscope.engine.theory.kernel import Kernel
from layerscope.engine.theory.moments import MomentTable

__all__ = ["LossGradient", "loss_gradient"]

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


def loss_gradient(
    loss: LossTheory, log_q: float, cross: float, *, target: float, batch: int, outputs: int
) -> LossGradient:
    """The gradient that the loss sends into a network whose output is N(0, e^log_q).

    Args:
        loss: what the loss says of its gradient.
        cross: correlation of two samples' outputs.
        target: second moment of the targets, independent of the network and of one another.

    Example:
        >>> from layerscope.engine.layers.losses import LOSSES
        >>> mse = LOSSES["mse"].theory
        >>> g = loss_gradient(mse, 0.0, 0.0, target=1.0, batch=10, outputs=1)
        >>> round(math.exp(g.log_second), 12), round(g.response, 9)
        (0.08, 0.5)
    """
    log_target, log_entries = log_of(target), math.log(batch * outputs)
    if isinstance(loss, PowerOfDifference):
        return _power(loss, log_q, cross, log_target, log_entries)
    if isinstance(loss, OfDifference):
        return _by_quadrature(loss, log_q, cross, log_target, log_entries)
    return _of_logits(loss, log_q, cross, batch, outputs)


def _power(
    law: PowerOfDifference, log_q: float, cross: float, log_target: float, log_entries: float
) -> LossGradient:
    factor = law.log_factor
    here = factor + law.degree * float(np.logaddexp(log_q, log_target)) - 2 * log_entries
    if law.degree:
        share = math.exp(max(-800.0, log_q + factor - 2 * log_entries - here))
    else:
        share = math.exp(max(-800.0, log_q - float(np.logaddexp(log_q, log_target))))
    common, rate = law.correlation(share * cross)
    response = law.degree * share
    bend = law.degree * share * (1 - share)
    return LossGradient(here, response, bend, common, share * rate, law.noise)


@lru_cache(maxsize=16)
def _table(law: OfDifference) -> MomentTable:
    return MomentTable(law.slope, law.curvature, law.kinks)


def _by_quadrature(
    law: OfDifference, log_q: float, cross: float, log_target: float, log_entries: float
) -> LossGradient:
    table = _table(law)

    def at(x: float) -> float:
        return table.at(float(np.logaddexp(x, log_target))).log_second - 2 * log_entries

    here, response, bend = _differences(at(log_q - STEP), at(log_q), at(log_q + STEP))
    total = float(np.logaddexp(log_q, log_target))
    share = math.exp(max(-800.0, log_q - total))
    rho = min(0.999, max(-0.999, share * cross))  # correlation of the differences out − y
    m = table.at(total)
    same, rate, _, _ = Kernel(total, m, table.spectrum(total)).at(rho)
    return LossGradient(here, response, bend, same, share * rate, m.kurtosis - 1)


def _of_logits(law: OfLogits, log_q: float, cross: float, batch: int, outputs: int) -> LossGradient:
    here, response, bend = _differences(
        *(law.log_second(log_q + step, batch, outputs) for step in (-STEP, 0.0, STEP))
    )
    # linear in the logits, which is what small ones are
    return LossGradient(here, response, bend, response * cross, response, 0.0)


def _differences(below: float, here: float, above: float) -> tuple[float, float, float]:
    """A function at a length, with its first and second derivative by ln q."""
    return here, (above - below) / (2 * STEP), (above - 2 * here + below) / STEP**2
