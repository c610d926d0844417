"""The second moment of the loss's gradient by the network's output, given the output's length."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from layerscope.engine.layers.losses.theory import (
    Hermite,
    LossTheory,
    OfDifference,
    OfLogits,
    PowerOfDifference,
)
from layerscope.engine.theory.kernel import Kernel
from layerscope.engine.theory.moments import MomentTable
from layerscope.engine.theory.state import log_of

__all__ = ["LossGradient", "Targets", "loss_gradient"]

STEP = 0.01  # in ln q, of the numerical derivative of a loss without a closed form


class Targets(NamedTuple):
    """Of the regression targets, independent of the network: second moment, mean, correlation of
    two samples'; ``atoms``: their values and how often each comes; empty: they are Gaussian."""

    second: float = 1.0
    mean: float = 0.0
    correlation: float = 0.0
    atoms: tuple[tuple[float, float], ...] = ()


class LossGradient(NamedTuple):
    """``log_second``: ln E[(∂L/∂out)²] per entry; ``response``, ``bend``: its first and second
    derivative by ln q of the output; ``cross``: E[g_α g_β]/E[g²] for two samples, and ``drift``,
    ``agreed`` its derivatives by the correlation of their outputs and of their targets; ``mean``:
    E[g]/√E[g²]; ``along``: squared correlation of an output and the gradient by it; ``own`` and
    ``shared``: relative variance of a sample's second moment and covariance of two samples', were
    the output's length fixed; ``fixed``: 1 where that does not fluctuate with the tensor's mean, −1
    where it does as for Gaussian entries; ``centred``: each sample's gradients add up to 0."""

    log_second: float
    response: float
    bend: float
    cross: float
    drift: float
    agreed: float
    mean: float
    along: float
    own: float
    shared: float
    fixed: float
    centred: bool = False


def loss_gradient(
    loss: LossTheory, log_q: float, cross: float, *, batch: int, outputs: int,
    target: float = 1.0, targets: Targets | None = None, wobble: float = 0.0, lean: float = 0.0,
) -> LossGradient:  # fmt: skip
    """The gradient that the loss sends into a network whose output is N(0, e^log_q).

    Args:
        loss: what the loss says of its gradient.
        cross: correlation of two samples' outputs; ``wobble``: its variance over pairs and draws;
            ``lean``: its covariance with the correlation of their targets.
        target: second moment of the targets, unless ``targets`` says more of them.

    Example:
        >>> from layerscope.engine.layers.losses import LOSSES
        >>> mse = LOSSES["mse"].theory
        >>> g = loss_gradient(mse, 0.0, 0.0, target=1.0, batch=10, outputs=1)
        >>> round(math.exp(g.log_second), 12), round(g.response, 9)
        (0.08, 0.5)
    """
    t = targets or Targets(target)
    log_entries = math.log(batch * outputs)
    if isinstance(loss, OfLogits):
        return _of_logits(loss, log_q, cross, batch, outputs, wobble, lean)
    if isinstance(loss, OfDifference):
        g = _by_quadrature(loss, log_q, cross, t, log_entries)
    elif loss.hermite is not None and t.atoms:
        g = _by_atoms(loss, loss.hermite, log_q, cross, t, log_entries)
    else:
        g = _power(loss, log_q, cross, t, log_entries)
    coherent = g.cross**2 + g.drift**2 * wobble
    return g._replace(own=g.own / outputs, shared=g.own * coherent / outputs)


def _power(
    law: PowerOfDifference, log_q: float, cross: float, t: Targets, log_entries: float
) -> LossGradient:
    factor, log_target = law.log_factor, log_of(t.second)
    total = float(np.logaddexp(log_q, log_target))
    share = math.exp(max(-800.0, log_q - total))
    same, rate = law.correlation(share * cross + (1 - share) * t.correlation)
    mean = -t.mean * math.exp(-0.5 * total) if law.degree else 0.0
    return LossGradient(
        factor + law.degree * total - 2 * log_entries, law.degree * share,
        law.degree * share * (1 - share), same, share * rate, (1 - share) * rate,
        mean, share * law.correlation(0.0)[1], law.noise, 0.0, 1 - law.noise,
    )  # fmt: skip


def _by_atoms(
    law: PowerOfDifference, hermite: Hermite, log_q: float, cross: float, t: Targets,
    log_entries: float,
) -> LossGradient:  # fmt: skip
    """Of a ψ whose square is constant: its Hermite coefficients, given the target, averaged."""
    root = max(math.exp(0.5 * min(log_q, 600.0)), 1e-300)
    h = np.sum([weight * hermite(value / root) for value, weight in t.atoms], axis=0)
    order = np.arange(len(h))
    c = min(0.999, max(-0.999, cross))
    same = float(h**2 @ c**order)
    rate = float((order * h**2)[1:] @ c ** order[:-1])
    return LossGradient(
        law.log_factor - 2 * log_entries, 0.0, 0.0, same, rate, 0.0, float(h[0]), float(h[1]) ** 2,
        law.noise, 0.0, 1 - law.noise,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _table(law: OfDifference) -> MomentTable:
    return MomentTable(law.slope, law.curvature, law.kinks)


def _by_quadrature(
    law: OfDifference, log_q: float, cross: float, t: Targets, log_entries: float
) -> LossGradient:
    table, log_target = _table(law), log_of(t.second)

    def at(x: float) -> float:
        return table.at(float(np.logaddexp(x, log_target))).log_second - 2 * log_entries

    here, response, bend = _differences(at(log_q - STEP), at(log_q), at(log_q + STEP))
    total = float(np.logaddexp(log_q, log_target))
    share = math.exp(max(-800.0, log_q - total))
    rho = share * cross + (1 - share) * t.correlation  # of the differences out − y
    m, spectrum = table.at(total), table.spectrum(total)
    around = Kernel(total, m, spectrum).at(min(0.999, max(-0.999, rho)))
    linear = float(spectrum.shares[0, 1])
    noise = m.kurtosis - 1
    return LossGradient(
        here, response, bend, around.same, share * around.rate, (1 - share) * around.rate,
        -t.mean * math.exp(-0.5 * total) * math.sqrt(linear), share * linear, noise, 0.0, 1 - noise,
    )  # fmt: skip


def _of_logits(
    law: OfLogits, log_q: float, cross: float, batch: int, m: int, wobble: float, lean: float
) -> LossGradient:
    here, response, bend = _differences(
        *(law.log_second(log_q + step, batch, m) for step in (-STEP, 0.0, STEP))
    )
    overlap = math.sqrt(min(1.0, cross**2 + wobble))
    own, shared, of_labels = law.fluctuation(log_q, overlap, m)
    # Linear in the logits, which is what small ones are: the rest is one-hot, and two of them agree
    # or are −1/(m − 1) of each other.
    others = m / max(1, m - 1)
    return LossGradient(
        here, response, bend, response * cross, response, (1 - response) * others, 0.0, response,
        own, shared + max(0.0, of_labels * lean * others), 1.0, centred=True,
    )  # fmt: skip


def _differences(below: float, here: float, above: float) -> tuple[float, float, float]:
    """A function at a length, with its first and second derivative by ln q."""
    return here, (above - below) / (2 * STEP), (above - 2 * here + below) / STEP**2
