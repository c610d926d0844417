"""From moments to what is drawn: rms, std and band of one tensor over a batch."""

from __future__ import annotations

import math
from typing import NamedTuple

from layerscope.engine.theory.backward import Gradient
from layerscope.engine.theory.population import Figures
from layerscope.engine.theory.state import LOG_ZERO, SignalMoments, mix
from layerscope.engine.theory.transport import LengthLaw

__all__ = ["LN10", "UNSTABLE", "Spread", "number", "of_figures", "of_gradient", "of_signal"]

BAND = 2.5
"""Normal quantile. Of any 100 seeds 95 are to lie inside, at every layer: were 95 expected, every
other layer would have fewer. With 98.8 expected, one in 2000 has."""
ROUNDING = 1e-6  # least variance of ln of a second moment: a band of 0.1 %, never a line
MOST_SHIFT = 5.0
"""Bound on ln of the 1/width correction of a mean: beyond, no seed that will be seen shows it."""
MOST_TAKEN = 0.15
"""Share of what varies that the tensor's own mean may take: beyond, its std hangs on how far the
samples are alike, whose spread over seeds is not derived."""
WIDEST_HALF = 1.5  # decades: a band of three says little, and the law behind it is no longer known
MOST_DROP = 5.0  # of the mean of ln below ln of the mean: that is then carried by no seed one sees
MOST_LEANT = 0.1
"""Part of a gradient's second moment that lies along a residual stream: beyond, it is no log-normal
number but the square of a normal one."""
LEANT = "along the mean of the residual stream the gradient grows faster, in few seeds by far"
FEW = "of so few units the std is how far the samples differ, whose spread over seeds isn't derived"
ROUNDED = 100.0
"""Times the number format's relative error: a std below, over the rms, is that of its rounding."""
ALIKE_TO_ROUNDING = "so small a std beside the mean is that of the number format's rounding"
MOST_OF_FEW = 0.15
"""Relative variance of a mean over a batch's values: beyond, so few large ones make it that it is
far from log-normal."""
SEVERAL = "so few values of the batch make the std that its spread over seeds is no bell"
UNSTABLE = "small differences of length grow, and seeds lie so far apart that their law isn't known"
LN10 = math.log(10.0)


class Spread(NamedTuple):
    """Prediction for one tensor; each number as log10 (``None``: exactly 0 or undefined).

    ``no_band`` says why there is no band about a std that is known.

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
    no_band: str | None = None

    def without_band(self, why: str) -> Spread:
        """The same, should there be a std."""
        if self.std is None:
            return self
        return self._replace(low=None, high=None, no_band=why)

    def to_dict(self) -> dict[str, float | str | None]:
        """The numbers, ``None`` where beyond float64, and their log10, which never is."""
        rms = number(self.rms)
        mean = None if rms is None else self.mean_share * rms
        out: dict[str, float | str | None] = {"mean": mean, "rms": rms}
        for name, value in (("std", self.std), ("low", self.low), ("high", self.high)):
            out[name] = number(value, missing=self.rms is None)
        out |= {
            "log10_rms": self.rms, "log10_std": self.std, "log10_low": self.low,
            "log10_high": self.high, "no_band": self.no_band,
        }  # fmt: skip
        return out


def number(log10: float | None, *, missing: bool = True) -> float | None:
    """10^log10: 0 where it underflows or is exactly 0, ``None`` where float64 cannot hold it."""
    if log10 is None:
        return 0.0 if missing else None
    return None if log10 > 300 else 10.0**log10


class _Tensor(NamedTuple):
    """ln of the second moment; of it, the parts that the squared mean has and that the tensor's own
    mean takes off at random; what of the second moment is left is the rest."""

    log_second: float
    mean: float
    taken: float
    left: float
    entries: int


def _spread(t: _Tensor, variance: float, drop: float, typical_drop: float) -> Spread:
    """Numbers of a tensor.

    ``variance``: relative, of what is left; ``drop``: by how much the mean of its ln lies below ln
    of its mean; ``typical_drop``: likewise of the second moment.
    """
    if t.log_second < LOG_ZERO / 2:
        return Spread(0.0, None, None, None, None, None)
    rms = 0.5 * t.log_second / LN10
    typical = rms - 0.5 * typical_drop / LN10
    if t.entries < 2 or t.left <= 0:
        return Spread(t.mean, rms, None, None, None, typical)
    std = rms + 0.5 * math.log10(t.left * t.entries / (t.entries - 1))
    half = 0.5 * BAND * math.sqrt(variance if variance > ROUNDING else ROUNDING) / LN10
    middle = std - 0.5 * drop / LN10
    found = Spread(t.mean, rms, std, middle - half, middle + half, typical)
    if t.taken > MOST_TAKEN * (t.taken + t.left):
        return found.without_band(FEW)
    if half > WIDEST_HALF or drop > MOST_DROP:
        return found.without_band(UNSTABLE)
    return found


def of_signal(
    s: SignalMoments, n: int, batch: int, measured: tuple[float, float], law: LengthLaw | None,
    unknown: float,
) -> Spread:  # fmt: skip
    """Prediction for a tensor of the forward pass.

    Its own mean is random: its expected square, which n units and the correlated samples leave, is
    taken off, and the std corrected for N − 1. ``measured``: relative variance of a mean over n
    units, times n, given their law, and the covariance of two samples'. ``law``
    replaces perturbation where that fails. ``unknown``: how far, squared, the theory itself is off.
    """
    taken = max(0.0, mix(s.about.mean, s.about_shared.mean, batch))
    by_units = mix(s.central, s.cross - s.mean**2, batch) / n  # of that, what lengths don't make
    own, shared = s.of_variance()
    noise = mix(*measured, batch) / n
    typical = 0.5 * (mix(s.own, s.shared, batch) + noise)
    if law is None:
        shift = _bounded(s.shift)
        log_second, mean, drop = s.log_second + shift, s.mean, 0.0
        fall = math.exp(-shift)  # from parts of the leading second moment to this one's
        spread = mix(own, shared, batch)
        # (mean + lift)² is taken off, to first order: for ReLU what lift and taken make cancels
        left = s.central + 1 / fall - 1 - 2 * s.mean * s.lift - taken
        t = _Tensor(log_second, mean, by_units * fall, left * fall, n * batch)
    else:
        mean = math.copysign(math.sqrt(max(0.0, 1 - law.central)), s.mean) if s.mean else 0.0
        by_units *= law.central / max(1e-300, s.central)
        t = _Tensor(law.log_mean, mean, by_units, law.central - by_units, n * batch)
        spread = mix(law.about, shared * law.about / own if own > 0 else 0.0, batch)
        drop, typical = law.about_drop - 0.5 * law.about, law.log_mean - law.mean_log
    # the mean of Gaussian units goes up and down with their mean square, and is taken off
    lost = t.taken / max(1e-300, t.left + t.taken) if measured[0] else 0.0
    spread += max(0.0, noise - measured[0] * lost * lost) / max(1e-3, 1 - lost) ** 2
    return _spread(t, spread + unknown, drop + 0.5 * spread, typical)


def of_gradient(
    g: Gradient, at: SignalMoments, n: int, batch: int, law: LengthLaw | None
) -> Spread:
    """Prediction for a tensor of the backward pass; ``at``: the same tensor forward."""
    even = g.mean * g.mean
    taken = 0.0 if g.centred else mix(1 - even, g.cross - even, batch) / n
    if g.level is not None:
        taken = g.level * mix(1.0, g.cross, batch)
    left = 1 - even - taken
    turned = 2 * g.fixed * taken**2 / max(1e-3, left) ** 2
    if law is None:
        shift, variance = g.of_tensor(at, batch)
        t = _Tensor(g.log_second + _bounded(shift), g.mean, taken, left, n * batch)
        left_over = max(0.0, variance + turned)
        found = _spread(t, left_over, 0.5 * left_over, 0.5 * variance)
        return found.without_band(LEANT) if abs(g.leant) > MOST_LEANT else found
    rest = mix(g.own, g.shared, batch)
    share = mix(1.0, at.shared / at.own if at.own > 0 else 0.0, batch)
    drop = max(0.0, law.log_mean - law.mean_log) + 0.5 * rest
    t = _Tensor(law.log_mean, g.mean, taken, left, n * batch)
    return _spread(t, max(0.0, share * law.variance + rest + turned), drop, drop)


def _bounded(shift: float) -> float:
    return max(-MOST_SHIFT, min(MOST_SHIFT, shift))


def of_figures(found: Figures, log_scale: float, entries: int, rounding: float) -> Spread:
    """Prediction for a tensor whose law is known but for the draw of a batch, over e^log_scale;
    ``rounding``: relative error of its number format."""
    second = found.central + found.mean**2
    if second <= 0:
        return Spread(0.0, None, None, None, None, None)
    taken = found.taken / second
    left = max(0.0, found.central - found.taken) / second
    # its own mean goes too, squared: 98.8 of 100 of χ²₁ lie below 6.3, no bell's 1 + 2.5·√2
    about = found.wander / second**2 + (5.3 / BAND * taken) ** 2
    variance = about / left**2 if left else 0.0
    t = _Tensor(
        math.log(second) + 2 * log_scale, found.mean / math.sqrt(second), 0.0, left, entries
    )
    spread = _spread(t, variance, 0.5 * variance, 0.5 * about)
    if variance > MOST_OF_FEW:
        return spread.without_band(SEVERAL)
    if math.sqrt(left) < ROUNDED * rounding:
        return spread.without_band(ALIKE_TO_ROUNDING)
    return spread
