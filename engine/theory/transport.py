"""The distribution of the length over seeds, carried from layer to layer.

Perturbation in 1/width fails where small differences of length grow, as near GELU's unstable
length: some seeds die out while others do not, and the mean is carried by the slow ones. Given q,
the next length depends on nothing else: q' = σw²E[φ²]·η + σb², η of mean 1 and variance (k − 1)/n.
This is a Markov chain in ln q; here it runs on a grid, forward for the lengths and, by the same
operator, backward for E[δ² | q] and E[(z·δ)² | q].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_array, vstack

from layerscope.engine.layers.losses.theory import LossTheory, PowerOfDifference
from layerscope.engine.theory.losses import Targets, loss_gradient
from layerscope.engine.theory.quadrature import Array
from layerscope.engine.theory.state import MeanFieldNetwork, Trace, log_of

__all__ = ["LengthChain", "LengthLaw", "needed"]

SPACING, FINEST = 0.2, 0.03
"""Of ln q: at most the noise of one layer, which is the finest thing the chain can resolve."""
NARROWEST = 0.7  # of the spacing: least width of a Gaussian that the grid can hold
MOST = 1500  # grid points
FARTHEST = 150.0  # |ln q| up to which the grid reaches
DEEPEST = 200  # layers: beyond, the chain would take longer than what it describes
KEPT = 8  # transitions, of some megabytes each: layers that differ are few
SHIFT, SPREAD = 0.01, 0.1
"""Perturbation is left where it would move a mean, or spread the length, by more than this."""


class LengthLaw(NamedTuple):
    """ln of the mean second moment, mean and variance of its ln over seeds; the share of it that is
    not the squared mean, and the variance and the drop from ln of mean to mean of ln of that."""

    log_mean: float
    mean_log: float
    variance: float
    central: float
    about: float
    about_drop: float


def needed(net: MeanFieldNetwork, traces: list[Trace]) -> bool:
    """Whether perturbation in 1/width is too coarse for this plain, non-homogeneous network."""
    held = net.norm is not None or net.log_calibrated is not None  # the length itself
    if held or net.residual or net.table.homogeneous or len(traces) > DEEPEST:
        return False
    if max(abs(t.pre.log_second) for t in traces) > FARTHEST:
        return False
    return any(abs(t.pre.shift) > SHIFT or t.pre.own > SPREAD for t in traces)


class _Step:
    """Transition from one layer's length to the next's: f ↦ E[f(ln q') | ln q] on the grid."""

    def __init__(self, chain: LengthChain, log_w: float) -> None:
        self.log_w = log_w
        m, n, o = chain.curves, chain.width, chain.isometry
        second, kurtosis, mixed, a = m[:, 0], m[:, 3], m[:, 7], m[:, 9]
        noise = np.maximum(0.0, kurtosis - 1 - 2 * a * a * o) / n
        lean = -(m[:, 10] + a * a - a) * o / n
        self.plain = self._operator(chain, second + lean, noise, np.zeros_like(second))
        tilt = (mixed - 1 - 2 * a * m[:, 11] * o) / n  # the slopes see the same units
        self.back = vstack([self.plain, self._operator(chain, second + lean, noise, tilt)], "csr")
        self.ahead = self.plain.T.tocsr()

    def _operator(self, chain: LengthChain, second: Array, noise: Array, tilt: Array) -> csr_array:
        width = np.log1p(noise)
        centre = self.log_w + second + tilt - width / 2
        following = np.logaddexp(centre, chain.log_b)
        share = np.exp(centre - following)  # a bias dilutes the noise
        return chain.kernel(following, share * np.sqrt(width))


class LengthChain:
    """The chain of one plain network.

    Args:
        net, traces: as from `forward`.
    """

    def __init__(self, net: MeanFieldNetwork, traces: list[Trace]) -> None:
        self.net, self.traces = net, traces
        self.width, self.log_b = traces[0].n, net.log_sigma_b2[-1]
        self.isometry = traces[min(1, len(traces) - 2)].weighed.isometry
        low, high = self._envelope()
        self.reaches = high - low <= 2 * FARTHEST
        """Whether the grid can hold the lengths that seeds meet: where some diverge as a power of
        a power, it can't, and what the chain says means nothing."""
        noise = [math.sqrt((t.moments.kurtosis - 1) / self.width) for t in traces[:-1]]
        step = min(SPACING, max(FINEST, min(noise)))
        size = max(64, min(MOST, math.ceil((high - low) / step)))
        self.grid = np.linspace(low, high, size)
        self.step = (high - low) / (size - 1)
        self.curves = net.table.curves(self.grid)
        self._kept: dict[float, _Step] = {}
        self.states = self._run()

    def kernel(self, centre: Array, width: Array) -> csr_array:
        """Rows of Gaussian weights on the grid, one per centre; each sums to 1.

        A Gaussian sampled at a spacing up to its own width keeps its moments to 1e-8. A narrower
        one is widened to the spacing's scale, with e^ln q kept in the mean.
        """
        wide = np.maximum(width, NARROWEST * self.step)
        centre = centre - (wide**2 - width**2) / 2
        reach = math.ceil(4.5 * float(wide.max()) / self.step)
        size, count = len(self.grid), 2 * reach + 1
        middle = np.rint((centre - self.grid[0]) / self.step).astype(np.int64)
        middle = np.clip(middle, reach, size - 1 - reach)
        columns = middle[:, None] + np.arange(-reach, reach + 1)
        away = (self.grid[columns] - np.clip(centre, *self.grid[[0, -1]])[:, None]) / wide[:, None]
        values = np.exp(-0.5 * away**2)
        values /= values.sum(axis=1, keepdims=True)
        rows = np.arange(len(centre) + 1) * count
        return csr_array((values.ravel(), columns.ravel(), rows), shape=(len(centre), size))

    def _envelope(self) -> tuple[float, float]:
        """Lengths that any seed of weight meets: the map's own paths from far on either side."""
        first = self.traces[0].pre
        reach = 8 * math.sqrt(first.own + 6 / self.width) + 0.5
        ends = [first.log_second - reach, first.log_second + reach]
        low, high = ends
        for log_w in self.net.log_sigma_w2[1:]:
            drawn = 4 * math.sqrt(5 / self.width)
            for i, sign in enumerate((-1, 1)):
                second = log_w + self.net.table.at(ends[i]).log_second
                ends[i] = float(np.logaddexp(second, self.log_b))
                ends[i] += sign * drawn / math.sqrt(len(self.net.fans))
            low, high = min(low, *ends), max(high, *ends)
        return low - 1.0, high + 1.0

    def _step(self, log_w: float) -> _Step:
        """The transition by weights of such a variance; the last few are kept."""
        if log_w not in self._kept:
            if len(self._kept) == KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[log_w] = _Step(self, log_w)
        return self._kept[log_w]

    def _run(self) -> Array:
        """Probabilities over the grid of every layer's length; shape (layers, G)."""
        first = self.traces[0].pre
        spread = math.log1p(first.own)
        centre = np.array([first.log_second - spread / 2])
        start = self.kernel(centre, np.array([math.sqrt(spread)]))
        states = [start.toarray()[0]]
        for log_w in self.net.log_sigma_w2[1:]:
            states.append(self._step(log_w).ahead @ states[-1])
        return np.stack(states)

    def _laws(self, log_values: Array) -> list[LengthLaw]:
        """Per layer, the law of e^log_values; one row for each layer, or one row for all."""
        states = self.states
        top = log_values.max(axis=-1, keepdims=True)
        mean = np.sum(states * np.exp(log_values - top), axis=1)
        average = np.sum(states * log_values, axis=1)
        variance = np.sum(states * (log_values - average[:, None]) ** 2, axis=1)
        log_mean = np.broadcast_to(top, (len(states), 1))[:, 0] + np.log(np.maximum(mean, 1e-300))
        columns = (log_mean.tolist(), average.tolist(), variance.tolist())
        return [LengthLaw(m, a, v, 1.0, v, m - a) for m, a, v in zip(*columns, strict=True)]

    def signals(self) -> list[tuple[LengthLaw, LengthLaw | None]]:
        """Per layer: the pre-activation and, but for the output, the activation."""
        pre, whole = self._laws(self.grid[None]), self._laws(self.curves[None, :, 0])
        variance = self._laws(self.curves[None, :, 4])
        post: list[LengthLaw | None] = [
            w._replace(
                central=min(1.0, math.exp(v.log_mean - w.log_mean)),
                about=v.variance,
                about_drop=v.log_mean - v.mean_log,
            )
            for w, v in zip(whole, variance, strict=True)
        ]
        post[-1] = None
        return list(zip(pre, post, strict=True))

    def _outset(self, loss: LossTheory, targets: Targets) -> tuple[Array, Array]:
        """ln E[δ² | q] at the output, and E[(z·δ)² | q]/(m q E[δ² | q])."""
        net, outputs, gain = self.net, self.traces[-1].n, self.net.log_gain
        if isinstance(loss, PowerOfDifference) and loss.degree == 1:
            entries, factor = net.batch * outputs, loss.log_factor
            logs = np.logaddexp(self.grid, log_of(targets.second)) + factor - 2 * math.log(entries)
            response = np.exp(self.grid + factor - 2 * math.log(entries) - logs)
            return logs + gain, 1 + (outputs + 1) * response
        count = max(4, min(24, math.ceil(self.grid[-1] - self.grid[0])))  # no closed form:
        points = np.linspace(self.grid[0], self.grid[-1], count)  # a few lengths, and a spline
        sent = [
            loss_gradient(loss, x, 0.0, targets=targets, batch=net.batch, outputs=outputs)
            for x in points.tolist()
        ]
        both = np.array(
            [(g.log_second + gain, 1 + 2 * g.response + (outputs - 1) * g.along) for g in sent]
        )
        found: Array = CubicSpline(points, both)(self.grid)
        return found[:, 0], found[:, 1]

    def gradients(
        self, loss: LossTheory, targets: Targets
    ) -> list[tuple[LengthLaw, LengthLaw | None]] | None:
        """Per layer: gradient by the pre-activation and, but for the output, by the activation.

        ``None`` where so few units leave no length with a positive second moment: the expansion
        in 1/width has failed.
        """
        m, o, n, layers = self.curves, self.isometry, self.width, len(self.states)
        a, b, mixed = m[:, 9], m[:, 11], m[:, 7]
        top_slope = float(m[:, 5].max())
        slope2 = np.exp(m[:, 5] - top_slope)
        aligned = a * a * np.exp(m[:, 0] - self.grid - top_slope)
        share = -np.expm1(np.minimum(0.0, self.log_b - self.grid))  # of the weights in q
        logs, alignment = self._outset(loss, targets)
        size = len(self.grid)
        pre, post = np.ones((layers, size)), np.ones((layers, size))
        tops = np.zeros((layers, 2, 1))
        top = tops[-1, 0, 0] = float(logs.max())
        pre[-1] = d = np.exp(logs - top)
        u = d * alignment
        looser, mixing, steeper = (1 - o) / n, slope2 * (mixed - o) / n, slope2 * (1 + 2 * b)
        for index in range(layers - 2, -1, -1):
            fan, step = self.net.fans[index + 1], self._step(self.net.log_sigma_w2[index + 1])
            both = np.stack([d, share * (u - d)], axis=1)  # (G, 2)
            came = step.back @ both  # (2·G, 2): as it comes, and tilted by φ'²
            top += step.log_w + math.log(fan[1] / fan[0])
            post[index] = came[:size, 0] + looser * came[:size, 1]
            arrived, excess = came[size:, 0], came[size:, 1]
            d = slope2 * arrived + mixing * excess
            u = aligned * excess + steeper * arrived
            scale = float(d.max())
            if not 0 < scale < math.inf:
                return None
            tops[index] = (top + top_slope + math.log(scale),), (top,)
            top = tops[index, 0, 0]
            pre[index] = d = d / scale
            u = u / scale
        floor = 1e-280  # of a function at most about 1: nothing there has weight
        at_pre = self._laws(np.log(np.maximum(pre, floor)) + tops[:, 0])
        at_post: list[LengthLaw | None] = [
            *self._laws(np.log(np.maximum(post, floor)) + tops[:, 1])[:-1],
            None,
        ]
        return list(zip(at_pre, at_post, strict=True))
