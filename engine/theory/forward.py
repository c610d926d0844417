"""The forward pass in expectation: length, mean, correlation and fluctuation after every layer.

Leading order in 1/width is mean-field theory (Poole et al. 2016; residual: Yang & Schoenholz
2017). The next order, what a layer of n units adds to it, is carried along:

- Given the layer below, the n pre-activations are independent N(0, q), so that the mean of φ² over
  units has the relative variance (E[φ⁴]/E[φ²]² − 1)/n about E[φ²]: 2/n for linear, 5/n for ReLU.
  A layer's map passes on the relative variance of the length times its squared elasticity. For ReLU
  at its critical point this is Var[ln q^L] = 5L/n (Hanin & Nica 2018; Hanin & Rolnick 2018).
- Where the map is curved, that variance shifts the mean (Roberts, Yaida & Hanin 2022, chapter 4).
- Samples of a batch share the weights: their fluctuations correlate by Cov(φ(u)², φ(v)²).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from layerscope.engine.layers.normalization import NormTheory
from layerscope.engine.theory.kernel import Kernel
from layerscope.engine.theory.moments import Moments, MomentTable

__all__ = [
    "LOG_ZERO", "MeanFieldNetwork", "SignalMoments", "Trace", "forward", "given", "log_of",
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


def _add(a: float, b: float) -> float:
    high, low = (a, b) if a >= b else (b, a)
    return high + math.log1p(math.exp(max(-800.0, low - high)))


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
    log_gain: float
    """ln of the square of what multiplies the gradient of the mean loss."""
    log_norm_gain: float = 0.0
    """ln γ² of the norms."""
    settled: int = 0
    """The hidden layer from which on all that follow are alike, but for what goes into them."""


class SignalMoments(NamedTuple):
    """One tensor in the forward pass, to leading order and next.

    ``log_second``: ln of its second moment over units; ``mean``: E[x]/√E[x²] over units; ``cross``:
    E[x_α x_β]/E[x²] for two samples; ``own`` and ``shared``: relative variance of a sample's second
    moment and its covariance with another sample's; ``shift``: what 1/n adds to the mean second
    moment, relative; ``wobble``: variance of ``cross`` over draws of the weights.
    """

    log_second: float
    mean: float
    cross: float
    own: float
    shared: float
    shift: float
    wobble: float

    def overlap(self) -> float:
        """E[cross²]: what two samples share of the randomness of the next layer's weights."""
        return min(1.0, self.cross**2 + self.wobble)


class Trace(NamedTuple):
    """What one block left for the backward pass, and its tensors for the record."""

    n: int
    share: float
    """Part of the pre-activation's variance that the weights make; the bias makes the rest."""
    isometry: float
    """1 where weights or a norm fix a sample's length (the units lie on a sphere), 0 where not."""
    kept: float
    """1 where the weights keep inner products (orthogonal), 0 where not."""
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
    square_shared: float
    """Cov(φ², φ̃²)/E[φ²]² for two samples."""
    slope_shared: float
    """E[φ'²φ̃'²]/E[φ'²]² for two samples."""

    def after(self) -> SignalMoments:
        """What the block hands to the next."""
        return self.added or self.post or self.normed or self.pre


def _linear(x: SignalMoments, log_w: float, log_b: float) -> tuple[SignalMoments, float]:
    """Pre-activation of a linear layer, and the part of its variance that the weights make."""
    scaled = log_w + x.log_second
    log_q = _add(scaled, log_b)
    share = math.exp(max(-800.0, scaled - log_q))
    cross = min(1.0, share * x.cross + 1 - share)
    square = share * share
    return SignalMoments(
        log_q, 0.0, cross, square * x.own, square * x.shared, share * x.shift, square * x.wobble
    ), share


def _norm(
    z: SignalMoments, norm: NormTheory, n: int, batch: int, log_gain: float
) -> tuple[SignalMoments, float]:
    """A norm sets the length to γ²q/(q + ε): only through ε does any of q's history pass."""
    log_q = z.log_second
    of_batch = norm.over == "batch"
    if norm.centred and of_batch:  # what is common to the batch is subtracted
        log_q += log_of(max(0.0, 1 - z.cross)) + math.log1p(-1 / batch)
    elif norm.centred:
        log_q += math.log1p(-1 / n)
    log_scale = _add(log_q, log_of(norm.epsilon))
    passed = 1 - math.exp(max(-800.0, log_q - log_scale))
    log_scale -= log_gain
    if of_batch:
        return SignalMoments(log_q - log_scale, 0.0, 0.0, 0.0, 0.0, 0.0, 1 / n), log_scale
    y = SignalMoments(
        log_q - log_scale, 0.0, z.cross,
        passed**2 * z.own, passed**2 * z.shared, passed * z.shift, z.wobble,
    )  # fmt: skip
    return y, log_scale


def _activate(
    y: SignalMoments,
    m: Moments,
    around: tuple[float, float, float],
    n: int,
    isometry: float,
    kept: float,
    sphere: float,
) -> SignalMoments:
    """φ of n independent N(0, q): the layer's own fluctuation joins what came from below.

    ``isometry``: how far each sample's length is fixed; ``kept``: how far inner products are too;
    ``sphere``: 1/dimension of the sphere on which a fixed length puts the values.
    """
    same, rate, shared = around
    a = m.growth
    bend = m.curvature + a * a - a  # (d²E[φ²]/dq²)·q²/E[φ²]
    noise = m.kurtosis - 1 - 2 * a * a * isometry
    common = shared - 2 * a * a * isometry * y.overlap()
    return SignalMoments(
        log_second=m.log_second,
        mean=m.mean,
        cross=same,
        own=min(WIDEST, a * a * y.own + max(0.0, noise) / n),
        shared=min(WIDEST, a * a * y.shared + max(0.0, common) / n),
        shift=a * y.shift + 0.5 * bend * (y.own - 2 * sphere),
        wobble=min(1.0, rate**2 * y.wobble + (1 - same * same) ** 2 * (1 - kept * rate**2) / n),
    )


def _add_residual(x: SignalMoments, f: SignalMoments, m: Moments, n: int) -> SignalMoments:
    """x + f with f = φ(z): given x, every unit of z has one law, so E[x·f] = E[x]·E[f]."""
    rx, rf = 0.5 * x.log_second, 0.5 * f.log_second
    top = max(rx, rf)
    sx, sf = math.exp(max(-400.0, rx - top)), math.exp(max(-400.0, rf - top))  # rms over e^top
    mean_x, mean_f = x.mean * sx, f.mean * sf
    between = 2 * mean_x * mean_f
    total = sx * sx + sf * sf + between
    cross = x.cross * sx * sx + f.cross * sf * sf + between
    # Var over units of 2xφ + φ², given x: what n fresh units add to the fluctuation
    variance = sf * sf * max(0.0, 1 - f.mean**2)
    third = sf**3 * (m.skew - f.mean)  # Cov(φ, φ²)
    noise = 4 * sx * sx * variance + 4 * mean_x * third + sf**4 * (m.kurtosis - 1)
    carried = (sx * sx + m.growth * sf * sf + 0.5 * m.growth * between) / total
    fresh = max(0.0, noise) / (n * total**2)
    both = max(0.0, min(1.0, cross / total))
    return SignalMoments(
        log_second=2 * top + math.log(total) if total > 0 else LOG_ZERO,
        mean=(mean_x + mean_f) / math.sqrt(total) if total > 0 else 0.0,
        cross=min(1.0, cross / total) if total > 0 else 1.0,
        own=carried**2 * x.own + fresh,
        shared=carried**2 * x.shared + fresh * both**2,
        shift=0.0,
        wobble=min(1.0, x.wobble + (1 - both**2) ** 2 / n * min(1.0, sf * sf / total)),
    )


class _Activations:
    """Moments and kernel at a length, the last ones kept: deep networks stand still."""

    def __init__(self, table: MomentTable) -> None:
        self._table = table
        self._at: float | None = None
        self._kept: tuple[Moments, Kernel] | None = None

    def at(self, log_q: float) -> tuple[Moments, Kernel]:
        same = self._at is not None and abs(log_q - self._at) < 1e-13
        if self._kept is not None and same:
            return self._kept
        if self._kept is not None and self._table.homogeneous:
            m, kernel = self._kept
            m = m._replace(log_second=m.log_second + log_q - (self._at or 0.0))
        else:
            m = self._table.at(log_q)
            kernel = Kernel(log_q, m, self._table.spectrum(log_q))
        self._at, self._kept = log_q, (m, kernel)
        return m, kernel


def given(net: MeanFieldNetwork) -> SignalMoments:
    """The data, as the first layer's input."""
    return SignalMoments(
        net.log_input, 0.0, net.input_correlation, net.input_norm_variance, 0.0, 0.0,
        1 / net.fans[0][0],
    )  # fmt: skip


def forward(net: MeanFieldNetwork) -> list[Trace]:
    """The traces of every block, the output layer's last."""
    x = given(net)
    activations = _Activations(net.table)
    traces = []
    layers = zip(net.fans, net.log_sigma_w2, net.log_sigma_b2, strict=True)
    for index, ((n_in, n), log_w, log_b) in enumerate(layers):
        output = index == len(net.fans) - 1
        pre, share = _linear(x, log_w, log_b)
        kept = share * min(1.0, n / n_in) if net.orthogonal else 0.0
        isometry = kept
        normed, log_scale, argument = None, 0.0, pre
        of_batch = net.norm is not None and net.norm.over == "batch"
        if net.norm is not None and not output:
            normed, log_scale = _norm(pre, net.norm, n, net.batch, net.log_norm_gain)
            argument = normed
            isometry = 0.0 if of_batch else 1.0
        sphere = isometry / n
        if of_batch and not output:  # over the batch instead of over the units
            sphere = 1 / (net.batch - 1)
        m, kernel = activations.at(argument.log_second)
        around = kernel.at(argument.cross)
        loose = kernel.at(math.sqrt(argument.overlap()))  # even in c: the sign is of no account
        post = _activate(argument, m, (around[0], around[1], loose[2]), n, isometry, kept, sphere)
        added = None
        if net.residual and not output and n_in == n:
            added = _add_residual(x, post, m, n)
        shown = post if net.activated and not output else None
        steep = kernel.elasticity > 1e-12  # else φ is constant on so short a length
        slope_cross = around[1] / kernel.elasticity if steep else 1.0
        trace = Trace(
            n, share, isometry, kept, pre, normed, log_scale, shown, added, m, kernel, slope_cross,
            loose[2], loose[3],
        )  # fmt: skip
        traces.append(trace)
        x = post if added is None else added
    return traces
