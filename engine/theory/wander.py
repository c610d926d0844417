"""How a layer's mean over its units, and its variance about it, fluctuate over draws of weights."""

from __future__ import annotations

import math
from typing import NamedTuple

from layerscope.engine.theory.kernel import Around
from layerscope.engine.theory.moments import Moments

__all__ = ["Wander", "drawn"]


class Wander(NamedTuple):
    """How a sample's mean over units and its variance about it go astray together.

    Variance of the mean over the rms, covariance, and variance of the variance over the second
    moment.
    """

    mean: float = 0.0
    both: float = 0.0
    variance: float = 0.0

    def through(self, mean: tuple[float, float], variance: tuple[float, float]) -> Wander:
        """Of what responds, each linearly, to this mean and to this variance."""
        (a, b), (c, d) = mean, variance
        return Wander(
            a * a * self.mean + 2 * a * b * self.both + b * b * self.variance,
            a * c * self.mean + (a * d + b * c) * self.both + b * d * self.variance,
            c * c * self.mean + 2 * c * d * self.both + d * d * self.variance,
        )

    def plus(self, other: Wander, mean: float = 1.0, variance: float = 1.0) -> Wander:
        """With an independent one, whose units of mean and variance are so many of these."""
        return Wander(
            self.mean + mean * mean * other.mean,
            self.both + mean * variance * other.both,
            self.variance + variance * variance * other.variance,
        )

    def second(self, mean: float) -> float:
        """Relative variance of the second moment, whose mean over the rms this is."""
        return max(0.0, 4 * mean * mean * self.mean + 4 * mean * self.both + self.variance)


def drawn(
    m: Moments,
    around: Around,
    loose: Around,
    overlap: float,
    n: int,
    *,
    held: tuple[float, float],
    level: float,
    batch: int | None,
) -> tuple[Wander, Wander]:
    """What n units add to the fluctuation of φ's mean and variance, of one sample and of two.

    On a sphere (``held``: of one sample, and what two samples would share of it) nothing that goes
    with the length fluctuates, and where a norm takes the mean off nothing that goes with it:
    ``level`` is the part of E[φ²] that does. ``batch``: as many samples of each unit have a fixed
    mean square together.
    """
    v, mean, rate = m.variance_share, m.mean_growth, m.variance_share * m.variance_growth
    gone = 2 * held[0]
    own = Wander(
        max(0.0, v - gone * mean * mean - level) / n,
        (m.third - gone * mean * rate) / n,
        max(0.0, v * v * (m.variance_kurtosis - 1) - gone * rate * rate) / n,
    )
    gone = 2 * held[1]
    if batch is not None:
        gone += 2 * overlap + 2 / (batch - 1)
    shared = Wander(
        (around.same - m.mean**2 - gone * mean * mean - level * around.at) / n,
        0.0,
        (v * v * loose.variances - gone * rate * rate) / n,
    )
    if batch is not None:
        return own, shared
    shared = Wander(max(0.0, shared.mean), 0.0, max(0.0, shared.variance))
    whole = own.mean * own.variance
    alike = math.sqrt(min(1.0, shared.mean * shared.variance / whole)) if whole > 0 else 0.0
    return own, shared._replace(both=own.both * alike)
