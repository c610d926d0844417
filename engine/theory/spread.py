"""From moments to what is drawn: rms, std and band of one tensor over a batch."""

from __future__ import annotations

import math
from typing import NamedTuple

from layerscope.engine.theory.backward import Gradient
from layerscope.engine.theory.forward import LOG_ZERO, SignalMoments, mix
from layerscope.engine.theory.transport import LengthLaw

__all__ = ["LN10", "Spread", "number", "of_gradient", "of_signal"]

BAND = 1.96  # normal quantile: 95 of 100 seeds fall inside
ROUNDING = 1e-6  # least variance of ln of a second moment: a band of 0.1 %, never a line
MOST_SHIFT = 5.0
"""Bound on ln of the 1/width correction of a mean: beyond, no seed that will be seen shows it."""
LN10 = math.log(10.0)


class Spread(NamedTuple):
    """Prediction for one tensor; each number as log10 (``None``: exactly 0 or undefined).

    ``rms`` is the root of the mean over seeds of the second moment, ``std`` the same about the
    tensor's own mean; 95 of 100 seeds have their std between ``low`` and ``high``. Fluctuations are
    log-normal, so that the band's middle, the typical seed, lies below the mean.
    """

    mean_share: float
    rms: float | None
    std: float | None
    low: float | None
    high: float | None
    typical: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The numbers, ``None`` where beyond float64, and their log10, which never is."""
        rms = number(self.rms)
        out = {"mean": None if rms is None else self.mean_share * rms, "rms": rms}
        for name, value in (("std", self.std), ("low", self.low), ("high", self.high)):
            out[name] = number(value, missing=self.rms is None)
        out |= {
            "log10_rms": self.rms, "log10_std": self.std, "log10_low": self.low,
            "log10_high": self.high,
        }  # fmt: skip
        return out


def number(log10: float | None, *, missing: bool = True) -> float | None:
    """10^log10: 0 where it underflows or is exactly 0, ``None`` where float64 cannot hold it."""
    if log10 is None:
        return 0.0 if missing else None
    return None if log10 > 300 else 10.0**log10


def _spread(
    log_second: float,
    mean: float,
    cross: float,
    shift: float,
    variance: float,
    n: int,
    batch: int,
    drop: float | None = None,
    centred: bool = False,
) -> Spread:
    """Numbers of a tensor of ``batch`` samples and ``n`` independent units.

    The tensor's own mean is random: its expected square is the mean's, plus what n units and the
    correlated samples leave of the variance. Taken off, and corrected for N − 1, that is the std.
    ``drop``: by how much the mean of ln lies below ln of the mean, half the variance unless given.
    ``centred``: a norm has taken the mean off.
    """
    drop = 0.5 * variance if drop is None else drop
    if log_second < LOG_ZERO / 2:
        return Spread(0.0, None, None, None, None, None)
    entries = n * batch
    log_rms = 0.5 * (log_second + shift)
    own_mean = mean * mean + mix(1 - mean * mean, cross - mean * mean, batch) / n
    central = 1.0 if centred else max(0.0, 1 - own_mean)
    variance = max(variance, ROUNDING)
    rms = log_rms / LN10
    typical = rms - 0.5 * drop / LN10
    if entries < 2 or central <= 0:
        return Spread(mean, rms, None, None, None, typical)
    std = rms + 0.5 * math.log10(central * entries / (entries - 1))
    middle, half = std - 0.5 * drop / LN10, 0.5 * BAND * math.sqrt(variance) / LN10
    return Spread(mean, rms, std, middle - half, middle + half, typical)


def of_signal(
    s: SignalMoments, n: int, batch: int, measured: float, law: LengthLaw | None, centred: bool
) -> Spread:
    """Prediction for a tensor of the forward pass.

    ``measured``: relative variance of a mean over n units, times n, given their law; samples share
    it as they share their correlation. ``law`` replaces perturbation where that fails.
    """
    redrawn = measured / n * mix(1.0, s.overlap(), batch)
    own, shift, mean, drop = s.own, _bounded(s.shift), s.mean, None
    shared = s.shared
    if law is not None:
        own, shift = law.variance, law.log_mean - s.log_second
        shared *= own / s.own if s.own > 0 else 0.0
        mean = math.copysign(math.sqrt(max(0.0, 1 - law.central)), mean) if mean else 0.0
    variance = mix(own, shared, batch) + redrawn
    if law is not None:
        drop = law.log_mean - law.mean_log + 0.5 * (variance - own)
    return _spread(s.log_second, mean, s.cross, shift, variance, n, batch, drop, centred)


def of_gradient(
    g: Gradient, at: SignalMoments, n: int, batch: int, law: LengthLaw | None
) -> Spread:
    """Prediction for a tensor of the backward pass; ``at``: the same tensor forward."""
    if law is None:
        shift, variance = g.of_tensor(at, batch)
        return _spread(g.log_second, 0.0, g.cross, _bounded(shift), variance, n, batch)
    rest = mix(g.own, g.shared, batch)
    share = mix(1.0, at.shared / at.own if at.own > 0 else 0.0, batch)
    variance = share * law.variance + rest
    drop = max(0.0, law.log_mean - law.mean_log) + 0.5 * rest
    shift = law.log_mean - g.log_second
    return _spread(g.log_second, 0.0, g.cross, shift, variance, n, batch, drop)


def _bounded(shift: float) -> float:
    return max(-MOST_SHIFT, min(MOST_SHIFT, shift))
