"""The first two moments of σ², σ the singular values of ∂(block l's output)/∂(input).

Wide layers: the slopes D, the weights W and what comes before are free of one another, so that
‖J‖² multiplies, and relative variances of σ² add (S-transforms do; Pennington, Schoenholz & Ganguli
2017, eq. 16). With χ = σw²E[φ'²] over the square of what a norm divides by, κ = E[φ'⁴]/E[φ'²]², and
s the relative variance that W has itself (1 for square Gaussian W, 0 for an orthogonal one),

    plain      mean σ² · χ·n_out/n_in,   variance + κ − 1 + s
    residual   mean σ² · (1 + χ),        variance + (2χ + χ²(κ − 1 + s))/(1 + χ)²

the second from I + DW with DW R-diagonal: τ|I + DW|⁴ = 1 + 4χ + χ²(κ + s) (Tarnowski et al. 2018,
Dynamical isometry is achieved in residual networks in a universal way). s of a rectangular W, per
unit put out, is n_out/n_in (Marchenko & Pastur 1967), or what the zeros of the larger side make. A
norm takes off one or two directions of n, which is of order 1/n, as all that is left out here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from layerscope.engine.theory.forward import CENTRED, forward
from layerscope.engine.theory.spread import LN10
from layerscope.engine.theory.state import LOG_ZERO, MeanFieldNetwork

__all__ = ["NoStretch", "Stretch", "stretches"]


class NoStretch(ValueError):
    """One direction of the network is not like the others; the message says which."""


class Stretch(NamedTuple):
    """Over the min(inputs, width) singular values: log10 √(mean σ²), and mean σ⁴/(mean σ²)²."""

    log10_rms: float
    dispersion: float


def stretches(net: MeanFieldNetwork) -> list[Stretch | None]:
    """After every hidden block, for an input of the data's mean square; ``None`` for a derivative
    that is zero.

    Errors: `NoStretch` where one singular value leaves the others: along the mean that such an
    activation gives to a residual stream each block stretches by more, from 1/n on.

    Example:
        >>> from layerscope.engine.theory.network import network
        >>> sizes = dict(depth=3, width=100, inputs=100, outputs=1, batch=2)
        >>> net = network("linear", **sizes, variance=lambda n_in, _: 1 / n_in)
        >>> [round(s.dispersion) for s in stretches(net)]  # Fuss and Catalan's numbers
        [2, 3, 4]
    """
    inputs = net.fans[0][0]
    log_sum, variance = math.log(inputs), 0.0  # of ‖J‖²; of σ², over the units put out
    found: list[Stretch | None] = []
    single = net._replace(input_norm_variance=0.0)
    traces = forward(single)[:-1]
    if net.norm is None and any(t.added and abs(t.moments.mean) > CENTRED for t in traces):
        raise NoStretch(
            "an activation with a mean gives the residual stream a direction, along which one "
            "singular value leaves the others behind"
        )
    for (n_in, n), t in zip(net.fans[:-1], traces, strict=True):
        step = t.weighed.log_w + t.moments.log_slope2 - t.log_scale
        own = t.moments.slope_kurtosis - 1 + _of_weights(net, n_in, n)
        if t.added is None:
            log_sum += step + math.log(n / n_in)
            variance += own
        else:
            chi = math.exp(max(-700.0, min(700.0, step)))
            share = chi / (1 + chi)
            log_sum += max(0.0, step) + math.log1p(math.exp(-abs(step)))
            variance += 2 * share * (1 - share) + share**2 * own
        few = min(inputs, n)
        if log_sum < LOG_ZERO / 2:
            found.append(None)
            continue
        mean = log_sum - math.log(few)
        found.append(Stretch(0.5 * mean / LN10, (1 + variance) * few / n))
    return found


def _of_weights(net: MeanFieldNetwork, n_in: int, n_out: int) -> float:
    """Relative variance of the eigenvalues of WᵀW, per unit put out."""
    if net.orthogonal:
        return max(0.0, n_out / n_in - 1)
    return n_out / n_in
