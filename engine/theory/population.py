"""What goes into a network whose weights no seed changes, value by value instead of by moments.

Where no unit hears another one (identity weights), or all units are copies (equal weights), every
tensor is a function of one number that the data draws: an entry of the input, or its mean over the
features. These are its *levels*. A law says how they are distributed and how far the average over
one batch strays from that over all; a function of the level is an array over the levels, the last
of which is 0, where a unit without an input of its own begins.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from layerscope.engine.theory.quadrature import Array

__all__ = [
    "MOST_LEVELS",
    "PANEL",
    "REACH",
    "Figures",
    "Measured",
    "NormalLevels",
    "Population",
    "figures",
]

MOST_LEVELS = 4096
"""Of measured entries: more are gathered into groups of equal size, to about 1e-3 of their std."""
PANEL, REACH, NODES = 0.1, 9.0, 4
"""Of a standard normal level: Gauss–Legendre panels, so narrow that an unseen kink matters to 3e-4
at most; those of the first layer lie at edges."""


class Figures(NamedTuple):
    """Of one tensor: mean of an entry and variance about it, and over seeds the variance of the
    tensor's own mean and of its mean square about that mean."""

    mean: float
    central: float
    taken: float
    wander: float


@dataclass(frozen=True, slots=True)
class Population:
    """Samples that stand for the data: ``x`` (P, features), the targets as the loss takes them,
    and whether a batch holds each of them at most once (``whole``)."""

    x: Array
    target: npt.NDArray[np.generic]
    whole: bool


class NormalLevels:
    """Levels that are independent N(mean, std²), ``units`` of them a sample.

    ``within``: mean and variance, over samples, of what a sample's features vary about their mean.
    """

    def __init__(
        self, mean: float, std: float, batch: int, units: int, *, edges: tuple[float, ...] = (),
        within: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        self.batch, self.units, self._within = batch, units, within
        at = [(edge - mean) / std for edge in edges] if std else []
        cuts = np.arange(-REACH, REACH + PANEL / 2, PANEL)
        cuts = np.unique(np.concatenate([cuts, np.clip(at, -REACH, REACH)]))
        x, w = np.polynomial.legendre.leggauss(NODES)
        half = np.diff(cuts)[:, None] / 2
        z = (cuts[:-1, None] + half + half * x).ravel()
        weights = (half * w).ravel() * np.exp(-0.5 * z * z)
        self.levels: Array = np.append(mean + std * z, 0.0)
        self.weights: Array = np.append(weights / weights.sum(), 0.0)

    def average(self, f: Array, share: float = 1.0) -> float:
        """Over a tensor of whose units so many have an input of their own."""
        return share * float(self.weights @ f) + (1 - share) * float(f[-1])

    def variance(self, f: Array, share: float = 1.0, wide: float = 0.0) -> float:
        """Of the average over one batch's tensor, over seeds; ``wide``: with so many times what
        features vary."""
        mean = float(self.weights @ f)
        rest = max(0.0, float(self.weights @ (f - mean) ** 2))
        extra = wide**2 * self._within[1]
        return share**2 * rest / (self.batch * self.units) + extra / self.batch

    def first(self, units: int) -> NormalLevels:
        """The same levels, so many a sample."""
        found = copy(self)
        found.units = units
        return found

    def within(self) -> float:
        """Mean square of what a sample's features vary about their mean."""
        return self._within[0]


class Measured:
    """Levels as samples have them.

    Args:
        values: (P, units), of each sample; batch: how many samples of these are drawn, each at most
            once if ``whole``.
        within: (P,), of each sample its features' variance about their mean.
        alike: (units,), for how many units each stands.
    """

    def __init__(
        self, values: Array, batch: int, *, whole: bool, within: Array | None = None,
        alike: Array | None = None,
    ) -> None:  # fmt: skip
        self.batch, self.whole, self._within = batch, whole, within
        found, index = np.unique(values, return_inverse=True)
        self.index = index.reshape(values.shape)
        if len(found) > MOST_LEVELS:
            order = np.argsort(values, axis=None)
            place = np.empty(values.size, dtype=np.int64)
            place[order] = np.arange(values.size) * MOST_LEVELS // values.size
            total = np.bincount(place, values.ravel(), MOST_LEVELS)
            found = total / np.bincount(place, minlength=MOST_LEVELS)
            self.index = place.reshape(values.shape)
        self.levels: Array = np.append(found, 0.0)
        units = values.shape[1]
        self.alike: Array = np.ones(units) if alike is None else alike
        few = len(found) <= units
        self._counts = self._count(len(found) + 1) if few else None
        """(P, levels): of each sample the share of its units at each level."""

    def _count(self, levels: int) -> Array:
        rows = np.arange(len(self.index))[:, None] * levels + self.index
        weight = np.broadcast_to(self.alike / self.alike.sum(), self.index.shape)
        counts = np.bincount(rows.ravel(), weight.ravel(), len(self.index) * levels)
        return np.asarray(counts.reshape(len(self.index), levels), dtype=np.float64)

    def first(self, units: int) -> Measured:
        """The same samples, of whose units the first so many count."""
        found = copy(self)
        found.index, found.alike = self.index[:, :units], self.alike[:units]
        found._counts = None
        return found

    def of_samples(self, f: Array) -> Array:
        """(P,): the average of each over its units."""
        if self._counts is not None:
            return np.asarray(self._counts @ f)
        return np.asarray(f[self.index] @ (self.alike / self.alike.sum()))

    def average(self, f: Array, share: float = 1.0) -> float:
        """As of `NormalLevels`."""
        return share * float(self.of_samples(f).mean()) + (1 - share) * float(f[-1])

    def variance(self, f: Array, share: float = 1.0, wide: float = 0.0) -> float:
        """As of `NormalLevels`."""
        each = share * self.of_samples(f)
        if wide and self._within is not None:
            each = each + wide * self._within
        return self.of_batch(each)

    def of_batch(self, each: Array) -> float:
        """Variance of the mean of a batch of samples whose own figures are these."""
        count = len(each)
        if count < 2:
            return 0.0
        left = max(0.0, 1 - self.batch / count) if self.whole else 1.0
        return float(each.var(ddof=1)) / self.batch * left

    def within(self) -> float:
        """As of `NormalLevels`."""
        return 0.0 if self._within is None else float(self._within.mean())

    def of_products(self, squares: Array, means: Array) -> Array:
        """E[(Σ over a batch of a)²] by a's mean square and mean over the samples."""
        count = len(self.index)
        both = means**2
        if self.whole and count > 1:  # two different samples
            both = (count * both - squares) / (count - 1)
        return self.batch * squares + self.batch * (self.batch - 1) * both


def figures(law: NormalLevels | Measured, f: Array, share: float, wide: float) -> Figures:
    """Of the tensor whose entries are f of their level; ``wide``: plus so many times what the
    features vary."""
    mean = law.average(f, share)
    square = (f - mean) ** 2
    central = law.average(square, share) + wide * law.within()
    return Figures(mean, central, law.variance(f, share), law.variance(square, share, wide))
