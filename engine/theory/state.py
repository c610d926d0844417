"""What theory knows of a network and of its tensors, block by block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from layerscope.engine.layers.normalization import NormTheory
from layerscope.engine.theory.kernel import Kernel
from layerscope.engine.theory.moments import Moments, MomentTable
from layerscope.engine.theory.wander import Wander

__all__ = [
    "LOG_ZERO", "WIDEST", "MeanFieldNetwork", "SignalMoments", "Trace", "Weighed", "log_of",
    "log_of_square", "mix",
]  # fmt: skip

WIDEST = 100.0  # relative variance of a length: beyond, only "anything" is said of a seed
LOG_ZERO = -1e8
"""Stands for ln 0: a length that is exactly zero, and stays apart from any that underflows."""


def log_of(x: float) -> float:
    """ln x, with `LOG_ZERO` for 0."""
    return math.log(x) if x > 0 else LOG_ZERO


def log_of_square(x: float) -> float:
    """ln x², also where x² is below float64's smallest number; `LOG_ZERO` for 0."""
    return max(LOG_ZERO, 2 * log_of(x))


def mix(own: float, shared: float, batch: int) -> float:
    """Variance of a mean over ``batch`` samples of variance ``own`` and covariance ``shared``."""
    return own / batch + (1 - 1 / batch) * shared


class MeanFieldNetwork(NamedTuple):
    """What theory must know of the network; lists run over the linear layers, the output's last."""

    table: MomentTable
    fans: Sequence[tuple[int, int]]
    log_sigma_w2: Sequence[float]
    """ln(n_in · variance of an entry), init scale included."""
    log_sigma_b2: Sequence[float]
    """ln of the variance of the biases."""
    batch: int
    norm: NormTheory | None
    residual: bool
    activated: bool
    """False for an activation that adds no layer."""
    orthogonal: bool
    log_input: float
    input_norm_variance: float
    input_correlation: float
    input_wobble: float
    """Variance of the correlation over pairs of samples."""
    input_lean: float
    """Covariance, over pairs of samples, of their correlation and that of their targets."""
    input_centred: tuple[float, float] | None
    """Relative variance of a sample's length and of correlations, the mean of all taken off."""
    log_gain: float
    """ln of the square of what multiplies the gradient of the mean loss."""
    log_norm_gain: float = 0.0
    """ln γ² of the norms."""
    settled: int = 0
    """The hidden layer from which on all that follow are alike, but for what goes into them."""
    log_calibrated: Sequence[float] | None = None
    """ln of the variance that each layer's weights were scaled to give this batch (LSUV); weights
    that nothing went into keep ``log_sigma_w2``."""


class SignalMoments(NamedTuple):
    """One tensor in the forward pass, to leading order and next.

    ``log_second``: ln of its second moment over units; ``mean``: E[x]/√E[x²] over units; ``cross``:
    E[x_α x_β]/E[x²] for two samples; ``own`` and ``shared``: relative variance of a sample's second
    moment and its covariance with another sample's; ``shift``: what 1/n adds to the mean second
    moment, relative; ``wobble``: variance of ``cross`` over draws of the weights and pairs of
    samples; ``lean``: its covariance with the correlation of two targets, over pairs. ``central``
    is the part of the second moment that is not the squared mean; ``about`` and ``about_shared``
    are its fluctuation, and the covariance of two samples'; ``lift`` is to ``mean`` what ``shift``
    is to the second moment.
    """

    log_second: float
    mean: float
    cross: float
    own: float
    shared: float
    shift: float
    wobble: float
    lean: float
    central: float = 1.0
    about: Wander = Wander()
    about_shared: Wander = Wander()
    lift: float = 0.0

    def overlap(self) -> float:
        """E[cross²]: what two samples share of the randomness of the next layer's weights."""
        return min(1.0, self.cross**2 + self.wobble)

    def of_variance(self) -> tuple[float, float]:
        """``own`` and ``shared`` of the second moment about the mean over units."""
        square = self.central * self.central
        if square < 1e-200:  # nothing is left about the mean
            return 0.0, 0.0
        found = self.about.variance / square, self.about_shared.variance / square
        return min(WIDEST, found[0]), min(WIDEST, found[1])


class Weighed(NamedTuple):
    """What the weights of one layer, with its norm, have made of lengths."""

    log_w: float
    """ln of n_in times the variance of a weight's entry."""
    redrawn: float
    """Relative variance, given what goes in, of the length by which LSUV has scaled the weights."""
    share: float
    """Part of the pre-activation's variance that the weights make; the bias makes the rest."""
    isometry: float
    """1 where weights or a norm fix a sample's length (the units lie on a sphere), 0 where not."""
    alike: float
    """What two samples' lengths, were they not fixed, would share of their fluctuation."""
    apart: float
    """Of what LSUV has scaled, the part of the second moment about the mean; 1 where it has not."""
    kept: float
    """1 where the weights keep inner products (orthogonal), 0 where not."""
    calibrated: bool
    """Whether LSUV has scaled the weights."""


class Trace(NamedTuple):
    """What one block left for the backward pass, and its tensors for the record."""

    n: int
    weighed: Weighed
    pre: SignalMoments
    normed: SignalMoments | None
    log_scale: float
    """ln of the variance the norm divides by, over its γ²; 0 without one."""
    post: SignalMoments | None
    added: SignalMoments | None
    moments: Moments
    kernel: Kernel
    slope_cross: float
    """E[φ'φ̃']/E[φ'²] for two samples."""
    slope_bend: float
    """Its derivative by their correlation."""
    square_shared: float
    """Cov(φ², φ̃²)/E[φ²]² for two samples."""
    slope_shared: float
    """E[φ'²φ̃'²]/E[φ'²]² for two samples."""

    def after(self) -> SignalMoments:
        """What the block hands to the next."""
        return self.added or self.post or self.normed or self.pre
