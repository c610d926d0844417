"""The loss's gradient by the level of the unit that gets it, and what comes of it on its way back.

A unit's gradient is g·d: g is what the loss sends, d, a function of the level, the product of the
slopes and weights that it passes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch

from layerscope.engine.layers.losses import Loss
from layerscope.engine.theory.population import Figures, Measured, NormalLevels
from layerscope.engine.theory.quadrature import Array

__all__ = ["OfMeasured", "OfNormal", "Side", "of_measured", "of_normal"]

TARGET_PANEL, TARGET_REACH, TARGET_NODES = 0.2, 7.0, 3  # in standard deviations of the targets
TOGETHER = 16
"""Targets of which slopes are asked at once: too few numbers for torch's threads."""


class Side(NamedTuple):
    """The input of a linear layer: ``h`` by level; of ``units``, so many (``live``) have a level,
    the others h[-1]; ``wide``: so many times what features vary comes on top; ``features``: it is
    the data itself."""

    h: Array
    units: int
    live: int
    wide: float = 0.0
    features: bool = False


class OfNormal(NamedTuple):
    """Of one output: E[gᵏ | level] for k = 1 … 4, over a scale of ``log_scale``."""

    law: NormalLevels
    powers: Array
    log_scale: float

    def figures(self, d: Array, share: float) -> Figures:
        """Of a tensor of whose units so many get the gradient."""
        square = d * d
        by = (d, square, square * d, square * square)
        one, two, three, four = (
            self.law.average(p * x) for p, x in zip(self.powers, by, strict=True)
        )
        mean = share * one
        fourth = four - 4 * mean * three + 4 * mean**2 * two  # E[(y² − 2·mean·y)²]
        wander = max(0.0, fourth - (two - 2 * mean * one) ** 2)
        return Figures(
            mean, max(0.0, share * two - mean**2),
            share**2 * max(0.0, two - one**2) / self.law.batch,
            share**2 * wander / self.law.batch,
        )  # fmt: skip

    def outset(self) -> Figures:
        """At the output."""
        return self.figures(np.ones_like(self.law.levels), 1.0)

    def weight(self, into: Side, d: Array | None, n_out: int, *, diagonal: bool) -> float:
        """Mean square of the weight's gradient, over (units, n_out); d is None at the output."""
        law, b, h, (y, y2, *_) = self.law, self.law.batch, into.h, self.powers
        if d is not None:
            y, y2 = y * d, y2 * d * d

        def of_sum(squares: float, mean: float) -> float:
            return b * squares + b * (b - 1) * mean**2

        own = of_sum(law.average(h * h * y2), law.average(h * y))
        if not diagonal:
            return own + b * into.wide * law.within() * law.average(y2)
        mean, second = law.average(y), law.average(y2)
        other = of_sum(law.average(h * h) * second, law.average(h) * mean)
        bare = of_sum(h[-1] ** 2 * second, h[-1] * mean)
        total = own + (into.live - 1) * other + (into.units - into.live) * bare
        return float(total) / (into.units * n_out)


class OfMeasured(NamedTuple):
    """Of every sample (P, outputs): ``g`` at the output, ``back`` as it leaves the last layer; over
    a scale of ``log_scale``. ``x``: the samples' features, where they are known."""

    law: Measured
    g: Array
    back: Array
    log_scale: float
    x: Array | None

    def _through(self, d: Array) -> Array:
        found: Array = self.back * d[self.law.index[:, : self.back.shape[1]]]
        return found

    def _figures(self, y: Array, share: float) -> Figures:
        mean = share * float(y.mean())
        square = (y - mean) ** 2
        central = share * float(square.mean()) + (1 - share) * mean**2
        wander = self.law.of_batch(share * square.mean(1))
        return Figures(mean, central, self.law.of_batch(share * y.mean(1)), wander)

    def figures(self, d: Array, share: float) -> Figures:
        """As of `OfNormal`."""
        return self._figures(self._through(d), share)

    def outset(self) -> Figures:
        """As of `OfNormal`."""
        return self._figures(self.g, 1.0)

    def weight(self, into: Side, d: Array | None, n_out: int, *, diagonal: bool) -> float:
        """As of `OfNormal`."""
        law = self.law
        y = self.g if d is None else self._through(d)  # (P, J)
        h, alike, extra = into.h[law.index], law.alike, 0.0
        if into.features and self.x is not None:
            h, alike = self.x, np.ones(self.x.shape[1])
        elif into.wide and self.x is not None:
            spread = self.x - self.x.mean(1, keepdims=True)
            h, alike = h + math.sqrt(into.wide) * spread, np.ones(spread.shape[1])
        elif into.wide:
            extra = into.wide * law.within()
        if diagonal:
            alike = alike.copy()
            alike[y.shape[1] :] *= (into.live - y.shape[1]) / max(1.0, alike[y.shape[1] :].sum())
        products = law.of_products((h * h + extra).T @ (y * y) / len(y), h.T @ y / len(y))
        if not diagonal:
            return float((alike @ products).mean() / alike.sum())
        bare = law.of_products(into.h[-1] ** 2 * (y * y).mean(0), into.h[-1] * y.mean(0))
        total = float((alike @ products).sum() + (into.units - into.live) * bare.sum())
        return total / (into.units * n_out)


def of_normal(
    loss: type[Loss], law: NormalLevels, out: Array, target: tuple[float, float]
) -> OfNormal:
    """Of outputs by level and independent targets of this mean and std."""
    edges = np.arange(-TARGET_REACH, TARGET_REACH + TARGET_PANEL / 2, TARGET_PANEL)
    x, w = np.polynomial.legendre.leggauss(TARGET_NODES)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half + half * x).ravel()
    weights = (half * w).ravel() * np.exp(-0.5 * z * z)
    at, (mean, std) = torch.from_numpy(out), target
    targets = torch.from_numpy(mean + std * z)[:, None].expand(-1, len(out))
    pieces = targets.chunk(math.ceil(len(targets) / TOGETHER))
    g = np.concatenate([
        (loss.gradient(at.expand_as(t), t) * t.numel()).numpy() for t in pieces
    ])  # fmt: skip
    peak = float(np.abs(g).max()) or 1.0
    g = g / peak
    weights = weights / weights.sum()
    square = g * g
    powers = np.stack([weights @ each for each in (g, square, square * g, square * square)])
    return OfNormal(law, powers, math.log(peak))


def of_measured(
    loss: type[Loss], law: Measured, out: Array, target: torch.Tensor, outputs: int,
    *, copies: bool, x: Array | None,
) -> OfMeasured:  # fmt: skip
    """Of every sample, by its target; ``copies``: all outputs are the same number."""
    values = out[law.index[:, :1] if copies else law.index[:, :outputs]]
    output = torch.from_numpy(np.array(np.broadcast_to(values, (len(values), outputs))))
    g = loss.gradient(output, target).numpy() * loss.terms(len(values), outputs)
    peak = float(np.abs(g).max()) or 1.0
    g = g / peak
    back = g.mean(1, keepdims=True) if copies else g
    return OfMeasured(law, g, back, math.log(peak), x)
