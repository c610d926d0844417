"""The forward pass in expectation: length, mean, correlation and fluctuation after every layer.

Leading order in 1/width is mean-field theory (Poole et al. 2016; residual: Yang & Schoenholz
2017). The next order, what a layer of n units adds to it, is carried along:

- Given the layer below, the n pre-activations are independent N(0, q), so that the mean of φ² over
  units has the relative variance (E[φ⁴]/E[φ²]² − 1)/n about E[φ²]: 2/n for linear, 5/n for ReLU.
  A layer's map passes on the relative variance of the length times its squared elasticity. For ReLU
  at its critical point this is Var[ln q^L] = 5L/n (Hanin & Nica 2018; Hanin & Rolnick 2018).
- Where the map is curved, that variance shifts the mean (Roberts, Yaida & Hanin 2022, chapter 4).
- Samples of a batch share the weights: their fluctuations correlate by Cov(φ(u)², φ(v)²).
- What is drawn is a std. Of an activation with a mean it fluctuates apart from the second moment:
  a layer's mean over its units and the variance about it go side by side, each with its own noise.
"""

from __future__ import annotations

import math

from layerscope.engine.layers.normalization import NormTheory
from layerscope.engine.theory.kernel import Around, Kernel
from layerscope.engine.theory.moments import Moments, MomentTable
from layerscope.engine.theory.state import (
    LOG_ZERO,
    WIDEST,
    MeanFieldNetwork,
    SignalMoments,
    Trace,
    Weighed,
    log_of,
    mix,
)
from layerscope.engine.theory.wander import Wander, drawn

__all__ = ["CENTRED", "MOST_UNEVEN", "forward", "given"]

CENTRED = 1e-3  # |mean|/rms of an activation up to which a residual stream has no direction
MOST_UNEVEN = 0.5
"""Relative variance of samples' lengths within a batch whose own LSUV has set: beyond, a curved
activation makes of the long ones what no expansion about the mean has."""
LEAST_LEFT = 1e-6  # of a tensor's second moment, about its mean


def _add(a: float, b: float) -> float:
    high, low = (a, b) if a >= b else (b, a)
    return high + math.log1p(math.exp(max(-800.0, low - high)))


def _linear(x: SignalMoments, log_w: float, log_b: float, n: int) -> tuple[SignalMoments, float]:
    """Pre-activation of a linear layer, and the part of its variance that the weights make."""
    scaled = log_w + x.log_second
    log_q = _add(scaled, log_b)
    share = math.exp(max(-800.0, scaled - log_q))
    cross = min(1.0, share * x.cross + 1 - share)
    square = share * share
    own, shared, level = square * x.own, square * x.shared, 1 / n
    z = SignalMoments(
        log_q, 0.0, cross, own, shared, share * x.shift, square * x.wobble, share * x.lean, 1.0,
        Wander(level, 0.0, own), Wander(level * cross, 0.0, shared),
    )  # fmt: skip
    return z, share


def _calibrated(
    x: SignalMoments, log_variance: float, n_in: int, n: int, batch: int, *, orthogonal: bool
) -> tuple[float, float, float] | None:
    """ln σw² of weights scaled so that x @ w has this variance about the tensor's own mean; how far
    that σw² varies with the weights drawn; and the part of E[(x·w)²] that is about the mean.

    Mishkin & Matas 2015: σw²E[x²]·(1 − what n units and the samples leave of the mean, squared) is
    known beforehand, whatever x is. What the samples have in common is n numbers, one of which the
    mean takes off; an orthogonal draw of n ≥ n_in keeps every length. ``None``: nothing to scale.
    """
    if x.log_second < LOG_ZERO / 2 or n * batch == 1:
        return None
    c = max(0.0, x.cross)
    left = max(LEAST_LEFT, 1 - mix(1.0, c, batch) / n)
    free = max(0.0, 1 - n / n_in) if orthogonal else 1.0
    apart = c * c * (1 - 1 / n) + (1 - c) ** 2 / batch + x.wobble
    return log_variance - x.log_second - math.log(left), 2 * free / n * apart / left**2, left


def _of_one_variance(z: SignalMoments, batch: int) -> SignalMoments:
    """The batch's variance is given: what one sample's length has more, the others' have less."""
    own = min(MOST_UNEVEN, max(0.0, z.own - z.shared) * (1 - 1 / batch))
    return z._replace(own=own, shared=-own / max(1, batch - 1), shift=0.0)


def _of_no_mean(z: SignalMoments, level: float) -> SignalMoments:
    """Its variance is its second moment; ``level``: variance of the mean over units."""
    return z._replace(
        about=Wander(level, 0.0, z.own), about_shared=Wander(level * z.cross, 0.0, z.shared)
    )


def _norm(
    z: SignalMoments,
    norm: NormTheory,
    n: int,
    batch: int,
    log_gain: float,
    unequal: float,
    wobble: float | None,
) -> tuple[SignalMoments, float, float]:
    """Normed, ln of what it was divided by, and how far a length's fluctuation passes.

    A norm sets the length to γ²q/(q + ε): only through ε does any of q's history pass. Over the
    batch it sets the mean of all lengths: ``unequal``, the relative variance of a sample's length
    about the batch's mean, passes whole; ``wobble``: of the correlations about that mean, if
    known.
    """
    log_q = z.log_second
    of_batch = norm.over == "batch"
    if norm.centred and of_batch:  # what is common to the batch is subtracted
        log_q += log_of(max(0.0, 1 - z.cross)) + math.log1p(-1 / batch)
    elif norm.centred:
        log_q += math.log1p(-1 / n)
    log_scale = _add(log_q, log_of(norm.epsilon))
    passed = 1 - math.exp(max(-800.0, log_q - log_scale))
    log_scale -= log_gain
    if of_batch:  # what one sample has more, the others have less
        own = unequal * (1 - 1 / batch)
        shared = -own / max(1, batch - 1)
        left = max(1e-6, 1 - z.cross)
        y = SignalMoments(
            log_q - log_scale, 0.0, 0.0, own, shared, 0.0,
            min(1.0, z.wobble / left**2 if wobble is None else wobble), z.lean / left,
        )  # fmt: skip
        return _of_no_mean(y, 0.0), log_scale, 1.0
    y = SignalMoments(
        log_q - log_scale, 0.0, z.cross,
        passed**2 * z.own, passed**2 * z.shared, passed * z.shift, z.wobble, z.lean,
    )  # fmt: skip
    return _of_no_mean(y, 0.0 if norm.centred else 1 / n), log_scale, passed


def _activate(
    y: SignalMoments,
    m: Moments,
    around: Around,
    loose: Around,
    n: int,
    held: tuple[float, float],
    kept: float,
    sphere: float,
    fresh: tuple[Wander, Wander],
    of_batch: int | None,
) -> SignalMoments:
    """φ of n independent N(0, q): the layer's own fluctuation joins what came from below.

    ``held``: how far a sample's length is fixed, and what two samples' fixed lengths would have
    shared; ``kept``: how far inner products are too;
    ``sphere``: 1/dimension of the sphere on which a fixed length puts the values.
    """
    same, rate = around.same, around.rate
    a = m.growth
    bend = m.curvature + a * a - a  # (d²E[φ²]/dq²)·q²/E[φ²]
    isometry, alike = held
    noise = m.kurtosis - 1 - 2 * a * a * isometry
    common = max(0.0, loose.squares - 2 * a * a * alike)
    if of_batch is not None:
        common = loose.squares - 2 * a * a * (y.overlap() + 1 / (of_batch - 1))
    unequal = y.own - 2 * sphere
    v, even = m.variance_share, m.mean**2
    about = max(-1.0, min(1.0, (same - even) / v)) if v > 1e-12 else 1.0
    # of two samples' cosine, by units' products and by their means
    turned = (v * (1 - about**2)) ** 2 + 2 * even * v * (1 + about) * (1 - same) ** 2
    up, out = m.mean_growth, v * m.variance_growth  # of mean and variance, by the length alone
    (own, shared), by = fresh, (up * up, up * out, out * out)
    return SignalMoments(
        log_second=m.log_second,
        mean=m.mean,
        cross=same,
        own=min(WIDEST, a * a * y.own + max(0.0, noise) / n),
        shared=min(WIDEST, a * a * y.shared + common / n),
        shift=a * y.shift + 0.5 * bend * unequal,
        wobble=min(1.0, rate**2 * y.wobble + turned * (1 - kept * rate**2) / n),
        lean=rate * y.lean,
        central=v,
        about=Wander(*[b * y.own + each for b, each in zip(by, own, strict=True)]),
        about_shared=Wander(*[b * y.shared + each for b, each in zip(by, shared, strict=True)]),
        lift=m.mean_growth * y.shift + 0.5 * (m.mean_curvature - m.mean_growth) * unequal,
    )


def _add_residual(
    x: SignalMoments,
    f: SignalMoments,
    m: Moments,
    n: int,
    heard: tuple[tuple[float, float], tuple[float, float]],
    fresh: tuple[Wander, Wander],
    rate: float,
) -> SignalMoments:
    """x + f with f = φ(z): given x, every unit of z has one law, so E[x·f] = E[x]·E[f].

    ``heard``: what ln q of z makes of x's mean and variance, of one sample and of what two share;
    ``rate``: derivative of f's correlation of two samples by x's.
    """
    rx, rf = 0.5 * x.log_second, 0.5 * f.log_second
    top = max(rx, rf)
    sx, sf = math.exp(max(-400.0, rx - top)), math.exp(max(-400.0, rf - top))  # rms over e^top
    total = sx * sx + sf * sf + 2 * x.mean * sx * f.mean * sf
    if total <= 0:
        return x._replace(log_second=LOG_ZERO, mean=0.0, cross=1.0)
    sx, sf = sx / math.sqrt(total), sf / math.sqrt(total)  # over the sum's rms
    mean = x.mean * sx + f.mean * sf
    between = 2 * x.mean * sx * f.mean * sf
    cross = min(1.0, x.cross * sx * sx + f.cross * sf * sf + between)
    both = max(0.0, cross)
    of_x, of_f = x.central * sx * sx, f.central * sf * sf
    alike = (x.cross - x.mean**2) * (f.cross - f.mean**2) + rate * x.wobble
    found = []
    up, out = sf * m.mean_growth, sf * sf * m.variance_share * m.variance_growth
    (by_mean, by_variance), _ = heard
    together = 2 * sx * up * (by_mean * x.about.mean + by_variance * x.about.both)
    for wander, (by_mean, by_variance), own, crossed in zip(
        (x.about, x.about_shared), heard, fresh, (of_x * of_f, alike * (sx * sf) ** 2), strict=True
    ):
        grown = wander.through(
            (sx + up * by_mean, up * by_variance), (out * by_mean, sx * sx + out * by_variance)
        ).plus(own, sf, sf * sf)
        found.append(grown._replace(variance=grown.variance + 4 * crossed / n))
    own, shared = found
    return SignalMoments(
        log_second=2 * top + math.log(total),
        mean=mean,
        cross=cross,
        own=min(WIDEST, own.second(mean)),
        shared=min(WIDEST, shared.second(mean)),
        shift=x.shift * sx * sx
        + f.shift * sf * sf
        + together
        + 2 * sx * sf * (x.mean * f.lift + f.mean * x.lift),
        wobble=min(
            1.0,
            (sx * sx + sf * sf * rate) ** 2 * x.wobble
            + (1 - both**2) ** 2 / n * min(1.0, sf**4 + 2 * (sx * sf) ** 2),
        ),
        lean=x.lean * sx * sx + f.lean * sf * sf,
        central=min(1.0, of_x + of_f),
        about=own,
        about_shared=shared,
        lift=x.lift * sx + f.lift * sf,
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
            further = log_q - (self._at or 0.0)
            m = m._replace(log_second=m.log_second + further, log_variance=m.log_variance + further)
        else:
            m = self._table.at(log_q)
            kernel = Kernel(log_q, m, self._table.spectrum(log_q))
        self._at, self._kept = log_q, (m, kernel)
        return m, kernel


def given(net: MeanFieldNetwork) -> SignalMoments:
    """The data, as the first layer's input."""
    x = SignalMoments(
        net.log_input, 0.0, net.input_correlation, net.input_norm_variance, 0.0, 0.0,
        net.input_wobble, net.input_lean,
    )  # fmt: skip
    return _of_no_mean(x, 1 / net.fans[0][0])


def _weigh(
    net: MeanFieldNetwork, index: int, x: SignalMoments, log_w: float, log_b: float
) -> tuple[SignalMoments, Weighed]:
    """The pre-activation, and what the weights make of lengths."""
    n_in, n = net.fans[index]
    scaled, redrawn, apart = None, 0.0, 1.0
    if net.log_calibrated is not None:
        scaled = _calibrated(
            x, net.log_calibrated[index], n_in, n, net.batch, orthogonal=net.orthogonal
        )
    if scaled is not None:
        log_w, redrawn, apart = scaled
    pre, share = _linear(x, log_w, log_b, n)
    kept = share * min(1.0, n / n_in) if net.orthogonal else 0.0
    isometry = share * kept
    if scaled is not None:
        pre, isometry = _of_one_variance(pre, net.batch), share * share
    alike = isometry * min(1.0, x.overlap())
    return pre, Weighed(log_w, redrawn, share, isometry, alike, apart, kept, scaled is not None)


def forward(net: MeanFieldNetwork) -> list[Trace]:
    """The traces of every block, the output layer's last."""
    x = given(net)
    activations = _Activations(net.table)
    traces = []
    layers = zip(net.fans, net.log_sigma_w2, net.log_sigma_b2, strict=True)
    for index, ((n_in, n), log_w, log_b) in enumerate(layers):
        output = index == len(net.fans) - 1
        pre, w = _weigh(net, index, x, log_w, log_b)
        normed, log_scale, argument, passed = None, 0.0, pre, 1.0
        of_batch = net.norm is not None and net.norm.over == "batch"
        if net.norm is not None and not output:
            unequal, centred = x.of_variance()[0], None
            if index == 0 and net.input_centred is not None:
                unequal, centred = net.input_centred
            normed, log_scale, passed = _norm(
                pre, net.norm, n, net.batch, net.log_norm_gain, unequal, centred
            )
            argument = normed
            isometry = 0.0 if of_batch else 1.0
            w = w._replace(isometry=isometry, alike=isometry * argument.overlap())
        sphere = w.isometry / n
        batch = net.batch if of_batch and not output else None
        if batch is not None:  # over the batch, as far as it spans, instead of over the units
            sphere = min(0.25, mix(1.0, argument.overlap(), batch))
        m, kernel = activations.at(argument.log_second)
        # The overlap's root has no sign, and for an odd part of φ that samples would have
        # opposite is told as if they had it in common.
        around, loose = kernel.at_two(argument.cross, math.sqrt(argument.overlap()))
        level = (
            m.slope_mean**2 * kernel.elasticity
            if normed and net.norm and not of_batch and net.norm.centred
            else 0.0
        )
        held = w.isometry, w.alike
        fresh = drawn(m, around, loose, argument.overlap(), n, held=held, level=level, batch=batch)
        post = _activate(argument, m, around, loose, n, held, w.kept, sphere, fresh, batch)
        added = None
        if net.residual and not output and n_in == n:
            heard = (2 * x.mean * w.share * passed, w.share * passed)
            of_two = heard
            if w.calibrated:  # to what two samples share the weights have listened
                of_two = (0.0, 0.0)
            if of_batch:
                heard, of_two = (0.0, 1 / max(x.central, 1e-12)), (0.0, 0.0)
            added = _add_residual(x, post, m, n, (heard, of_two), fresh, around.rate * w.share)
        shown = post if net.activated and not output else None
        steep = kernel.elasticity > 1e-12  # else φ is constant on so short a length
        slope_cross = around.rate / kernel.elasticity if steep else 1.0
        trace = Trace(
            n, w, pre, normed, log_scale, shown, added, m, kernel, slope_cross,
            around.bend / kernel.elasticity if steep else 0.0, loose.squares, loose.slopes,
        )  # fmt: skip
        traces.append(trace)
        x = post if added is None else added
    return traces
