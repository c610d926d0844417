"""The backward pass in expectation: the second moment of the gradient at every tensor.

Going back, a linear layer multiplies it by n_out·v and an activation by E[φ'²] (Schoenholz et al.
2017; residual: 1 + χ, Yang & Schoenholz 2017). Batch norm couples the samples, and its gradient
explodes by a factor that depends on how their correlations evolve (Yang et al. 2019): none is
derived here. What 1/width adds:

- *alignment*. Given the forward pass, Wᵀδ = h·(z·δ)/|h|² + an independent part: the gradient knows
  the weights through z·δ. With e = E[(z·δ)²]/(n q E[δ²]) − 1 one layer adds (1 + x)·e/n, where
  1 + x = E[φ²φ'²]/(E[φ²]E[φ'²]), and e ← a²·E[φ²]/(q E[φ'²])·e + 2b, with a and b the
  elasticities of E[φ²] and E[φ'²]. At the output e = 2·∂lnE[g²]/∂ln q + (m − 1)·E[z·g]²/(q E[g²]).
- *response*. The gradient depends on the forward lengths, through φ' and through the loss; ``S``
  and ``T``, the first and second derivative of its logarithm by ln q, follow from the chain rule.

A residual stream x with a mean has a direction: Wᵀδ holds x·(z·δ)/|x|², and z·δ has the mean
ḡ·E[zφ'] n, so that the part of the gradient along x grows by more than 1 + χ a block, from 1/n.

Both are exact to first order in 1/width for one sample; a residual stream carries neither.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from layerscope.engine.theory.forward import given
from layerscope.engine.theory.losses import LossGradient
from layerscope.engine.theory.state import MeanFieldNetwork, SignalMoments, Trace, mix

__all__ = ["Gradient", "GradientTrace", "backward"]


class Gradient(NamedTuple):
    """One tensor of the backward pass.

    ``log_second``: ln of the second moment of its entries, to leading order; ``cross``:
    E[g_α g_β]/E[g²] for two samples; ``shift``: relative correction of the mean, for the
    fluctuation of the lengths below not yet included; ``own``, ``shared``: relative variance and
    covariance of a sample's second moment, apart from that of the forward lengths; ``align`` is e,
    ``response`` S, ``bend`` T.
    ``overlap``: squared cosine of two samples' gradients (1 with one output, however their signs);
    ``drift``: derivative of ``cross`` by the correlation of the two samples in the forward pass,
    ``agreed``: by that of their targets. ``mean``: E[g]/√E[g²], 0 behind fresh weights;
    ``centred``, ``fixed``: as of a `LossGradient`. Of a residual stream with a mean: ``level``,
    E[ḡ²]/E[g²] of a sample's mean over units ḡ; with b = g·x/|x|√n for the stream x about its mean,
    ``tilt`` and ``slant`` are E[ḡb] and E[b²] likewise, ``leant`` what all this adds to E[g²].
    """

    log_second: float
    cross: float
    shift: float
    own: float
    shared: float
    align: float
    response: float
    bend: float
    overlap: float
    drift: float
    agreed: float
    tie: float
    mean: float = 0.0
    centred: bool = False
    fixed: float = -1.0
    level: float | None = None
    tilt: float = 0.0
    slant: float = 0.0
    leant: float = 0.0

    def of_tensor(self, at: SignalMoments, batch: int) -> tuple[float, float]:
        """Relative shift of the mean, and relative variance over draws, of a batch's tensor."""
        s, t = self.response, self.bend
        own = self.own + s * s * at.own
        shared = self.shared + s * s * at.shared
        shift = self.shift + s * at.shift + 0.5 * (s * s + t - s) * at.own
        return shift, max(0.0, mix(own, shared, batch))


class GradientTrace(NamedTuple):
    """Gradients by the outputs of one block's layers; ``None`` where there is no such layer."""

    pre: Gradient
    normed: Gradient | None
    post: Gradient | None
    added: Gradient | None


def _through_linear(g: Gradient, t: Trace, net: MeanFieldNetwork, index: int) -> Gradient:
    """Wᵀδ: weights drawn afresh re-draw its length too, orthogonal ones keep it."""
    n_in, n = net.fans[index]
    isometry = min(1.0, n_in / n) if net.orthogonal else 0.0
    factor = t.weighed.log_w + math.log(n / n_in)
    loose = (1 - isometry) / n_in
    share = t.weighed.share
    redrawn = (2 + 4 * share * g.tie) * loose
    fixed = net.log_calibrated is not None  # then the weights know their input's length
    # However many outputs align the gradient with its layer; behind a norm nothing lies along it.
    along = max(0.5, 1 + share * g.align * loose)
    return Gradient(
        log_second=g.log_second + factor,
        cross=g.cross,
        shift=g.shift + math.log(along) + t.weighed.redrawn,
        own=g.own + redrawn + t.weighed.redrawn,
        shared=g.shared + g.overlap * redrawn + t.weighed.redrawn,
        align=(1 + share * g.align) / along - 1,
        response=share * g.response,
        bend=share * share * g.bend + share * (1 - share) * g.response,
        overlap=g.overlap + (1 - g.overlap) * loose,
        drift=share * g.drift,
        agreed=g.agreed,
        tie=0.0 if fixed else share * g.tie,
        leant=g.leant,
    )


def _through_activation(g: Gradient, t: Trace) -> Gradient:
    """φ'(z)∘g, whose entries are Gaussian and independent of z but for the alignment."""
    m, n, kept = t.moments, t.n, t.slope_cross**2
    a, b, s = m.growth, m.slope_growth, g.response
    x = m.mixed - 1 - 2 * a * b * t.weighed.isometry
    noise = m.kurtosis - 1 - 2 * a * a * t.weighed.isometry
    second = s * s + g.bend - s
    sphere = m.slope_curvature + b * b - b + (m.curvature + a * a - a) * s
    elasticity = t.kernel.elasticity
    like = t.square_shared / (m.kurtosis - 1) if m.kurtosis > 1 + 1e-12 else 0.0
    own = 3 * m.slope_kurtosis - 3 - 2 * b * b * t.weighed.isometry + 2 * s * x + s * s * noise
    slopes = t.slope_shared * (1 + 2 * g.overlap) - 1 - 2 * g.overlap
    shared = slopes + 2 * s * x * like + s * s * max(0.0, noise) * like
    along = max(0.5, 1 + (m.mixed - 1) * g.align / n)
    align = a * a / elasticity * g.align + 2 * b if elasticity > 1e-12 else 0.0
    return Gradient(
        log_second=g.log_second + m.log_slope2,
        cross=g.cross * t.slope_cross,
        shift=g.shift
        + math.log(along)
        + (s * x + 0.5 * second * max(0.0, noise) - sphere * t.weighed.isometry) / n,
        own=max(0.0, g.own + own / n),
        shared=max(0.0, g.shared + shared / n),
        align=(1 + align) / along - 1,
        response=b + a * s,
        bend=m.slope_curvature + m.curvature * s + a * a * g.bend,
        overlap=min(1.0, g.overlap * kept + max(0.0, t.slope_shared - kept) * (1 - g.overlap) / n),
        drift=g.drift * elasticity * t.slope_cross**2 + g.cross * t.slope_bend,
        agreed=g.agreed * t.slope_cross,
        leant=g.leant,
        level=None if g.level is None else g.level * m.slope_mean**2 + (1 - m.slope_mean**2) / n,
        tie=min(1.0, a * a / elasticity) * g.tie if elasticity > 1e-12 else 0.0,
    )


def _through_norm(g: Gradient, t: Trace, net: MeanFieldNetwork) -> Gradient:
    """A norm divides by its scale and projects out what would only change length (and mean).

    The scale is measured on n units: E[1/χ²_n] = (1 + 2/n)/n to first order. A gradient that comes
    from another norm has nothing along z left to lose (align = −1).
    """
    centred = net.norm is not None and net.norm.centred
    lost = (1 + g.align + centred) / t.n
    drawn = 2 * (1 - t.weighed.kept) / t.n
    return g._replace(
        log_second=g.log_second - t.log_scale,
        shift=g.shift + drawn - lost,
        own=g.own + drawn,
        shared=g.shared + drawn * t.pre.overlap(),
        align=-1.0,
        response=-1.0,
        bend=0.0,
        tie=0.0,
    )


def _join(skip: Gradient, branch: Gradient, kept: float, n: int) -> Gradient:
    """The stream's gradient: skip and branch arrive uncorrelated, their second moments add.

    ``kept``: part of the sum's second moment, forward, that came along the skip.
    """
    top = max(skip.log_second, branch.log_second)
    a = math.exp(max(-800.0, skip.log_second - top))
    b = math.exp(max(-800.0, branch.log_second - top))
    total = a + b
    share = b / total
    # skip and branch meet at an angle that every draw turns
    met = 4 * share * (1 - share) / n
    alike = math.sqrt(max(0.0, skip.overlap * branch.overlap))
    return branch._replace(
        log_second=top + math.log(total),
        cross=(a * skip.cross + b * branch.cross) / total,
        overlap=(a * skip.overlap + b * branch.overlap) / total,
        drift=(a * kept * skip.drift + b * branch.drift) / total,
        agreed=(a * skip.agreed + b * branch.agreed) / total,
        tie=0.0,
        shift=0.0,
        own=skip.own + share**2 * max(0.0, branch.own - skip.own) + met,
        shared=skip.shared + share**2 * max(0.0, branch.shared - skip.shared) + met * alike,
        align=0.0,
        response=0.0,
        bend=0.0,
    )


def _leaning(joined: Gradient, skip: Gradient, t: Trace, x: SignalMoments) -> Gradient:
    """The stream's gradient with what its mean adds; ``x``: the stream that entered the block."""
    n, m = t.n, t.moments
    y = t.added
    if y is None or t.normed is not None:  # behind a norm nothing lies along z
        return joined
    grown = math.exp(min(50.0, joined.log_second - skip.log_second))  # 1 + χ
    r = 2 * m.mean_growth * t.weighed.share * math.exp(min(50.0, (m.log_second - x.log_second) / 2))
    ratio = math.exp(max(-50.0, (x.log_second - y.log_second) / 2))
    rho = ratio * x.central / y.central if y.central > 0 else 0.0
    # Behind fresh weights nothing leans yet.
    level, slant = (1 / n, y.central / n) if skip.level is None else (skip.level, skip.slant)
    fresh = max(0.0, grown - 1) / n
    of_f = m.variance_share * math.exp(min(50.0, m.log_second - y.log_second))
    k = t.weighed.share * m.variance_growth * of_f / max(1e-12, y.central * ratio)
    mean, v, tilt = x.mean, x.central, skip.tilt
    # w = r·ḡ + k·b is what z·δ makes along x
    wa, wb = r * level + k * tilt, r * tilt + k * slant
    ww = r * wa + k * wb
    total = grown + 2 * (mean * wa + rho * wb) + ww
    return joined._replace(
        log_second=joined.log_second + math.log(total / grown),
        leant=(skip.leant * grown + total - grown) / total,
        level=(level + 2 * mean * wa + mean * mean * ww + fresh) / total,
        tilt=(rho * tilt + v * wa + mean * rho * wb + mean * v * ww) / total,
        slant=(rho * rho * slant + 2 * rho * v * wb + v * v * ww + v * fresh) / total,
    )


def backward(net: MeanFieldNetwork, traces: list[Trace], loss: LossGradient) -> list[GradientTrace]:
    """The gradients of every block, in forward order, from the loss's gradient by the output."""
    m = traces[-1].n
    coherent = loss.cross**2 + loss.drift**2 * traces[-1].pre.wobble
    g = Gradient(
        log_second=loss.log_second, cross=loss.cross, shift=0.0, own=loss.own, shared=loss.shared,
        align=2 * loss.response + (m - 1) * loss.along, response=loss.response, bend=loss.bend,
        overlap=1 / m + (1 - 1 / m) * coherent, drift=loss.drift, agreed=loss.agreed,
        tie=max(0.0, loss.response),
        mean=loss.mean, centred=loss.centred, fixed=loss.fixed,
    )  # fmt: skip
    found = [GradientTrace(g, None, None, None)]
    below = _through_linear(g, traces[-1], net, len(traces) - 1)
    for index in range(len(traces) - 2, -1, -1):
        t, stream = traces[index], below
        if t.added is not None:  # the branch sees the stream's gradient as it would fresh weights
            below = stream._replace(align=0.0, response=0.0, bend=0.0, tie=0.0)
        post = below
        argument = _through_activation(post, t)  # without one φ is the identity
        pre = argument if t.normed is None else _through_norm(argument, t, net)
        found.append(
            GradientTrace(
                pre,
                argument if t.normed is not None else None,
                post if net.activated else None,
                stream if t.added is not None else None,
            )
        )
        branch = _through_linear(pre, t, net, index)
        below = branch
        if t.added is not None:
            x = traces[index - 1].after() if index else given(net)
            kept = math.exp(min(0.0, x.log_second - t.added.log_second))
            below = _leaning(_join(stream, branch, kept, t.n), stream, t, x)
    return found[::-1]
