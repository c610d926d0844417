"""What is known of a tensor, and how two parts' knowledge is put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layerscope.engine.basis.serial import Serial

__all__ = ["Figures", "Histogram", "Statistics"]

Counts = NDArray[np.int64]


class Histogram(Serial, eq=False, gc=False):
    """How many nonzero finite entries lie in [2^e, 2^(e+1)), for every exponent e, by sign.

    Both counts are by exponent, without a gap, from ``first`` on, the lowest that occurs; 0 when
    none does.

    >>> h = Histogram(-1, np.array([2, 0, 1]), np.array([0, 0, 3]))
    >>> h.to_dict()
    {'exponents': [-1, 0, 1], 'positive': [2, 0, 1], 'negative': [0, 0, 3]}
    """

    first: int
    positive: Counts
    negative: Counts

    @property
    def exponents(self) -> range:
        """The exponents counted, floor(log2|x|), one for each entry of the two arrays."""
        return range(self.first, self.first + self.positive.size)

    @property
    def total(self) -> int:
        """Number of entries counted: all that are finite and not zero."""
        return int(self.positive.sum() + self.negative.sum())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self.first == other.first
            and np.array_equal(self.positive, other.positive)
            and np.array_equal(self.negative, other.negative)
        )

    def to_dict(self) -> dict[str, list[int]]:
        """The JSON form: lists of equal length."""
        return {
            "exponents": list(self.exponents),
            "positive": self.positive.tolist(),
            "negative": self.negative.tolist(),
        }

    @classmethod
    def by_field(cls, entries: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**entries, "first": next(iter(entries["exponents"]), 0)}

    @staticmethod
    def merge(a: Histogram, b: Histogram) -> Histogram:
        """The counts of both."""
        if not a.positive.size or not b.positive.size:
            return a if a.positive.size else b
        first = min(a.first, b.first)
        size = max(a.exponents.stop, b.exponents.stop) - first
        counts = np.zeros((2, size), np.int64)
        for part in (a, b):
            window = counts[:, part.first - first : part.exponents.stop - first]
            window += (part.positive, part.negative)
        return Histogram(first, counts[0], counts[1])


class Figures(Serial, gc=False):
    """What is known of one tensor in a dozen numbers, over its finite entries; what is not finite
    is counted.

    ``mean``, ``rms``, ``min`` and ``max`` are None when no entry is finite; ``std``, the unbiased
    standard deviation √(Σ(x − mean)²/(n − 1)), when fewer than two are, and in the one case that
    float64 cannot hold it (entries near ±1.8e308). Negative zero is given as zero. ``subnormal``
    counts the nonzero entries below the smallest normal number of the tensor's own dtype.

    The bytes of ``Statistics`` can be read as these: the histogram is passed over then, which
    takes a twentieth of the time.
    """

    count: int
    finite: int
    mean: float | None
    std: float | None
    rms: float | None
    min: float | None
    max: float | None
    zeros: int
    subnormal: int
    nan: int
    posinf: int
    neginf: int


class Statistics(Figures, gc=False):
    """Everything about one tensor: ``histogram``, ``zeros``, ``nan``, ``posinf`` and ``neginf``
    add up to ``count``."""

    histogram: Histogram

    @staticmethod
    def merge(a: Statistics, b: Statistics) -> Statistics:
        """The statistics of two tensors' entries taken together, in any grouping.

        Counts and histograms add exactly; moments combine by Chan, Golub & LeVeque 1983, to
        rounding.

        >>> import torch
        >>> from layerscope.engine.statistics import statistics
        >>> x = torch.arange(10.0)
        >>> Statistics.merge(statistics(x[:3]), statistics(x[3:])).std == statistics(x).std
        True
        """
        mean, std, rms = _merge_moments(a, b)
        counts = {name: getattr(a, name) + getattr(b, name) for name in COUNTS}
        return Statistics(
            **counts,
            mean=mean,
            std=std,
            rms=rms,
            min=min((s.min for s in (a, b) if s.min is not None), default=None),
            max=max((s.max for s in (a, b) if s.max is not None), default=None),
            histogram=Histogram.merge(a.histogram, b.histogram),
        )


COUNTS = ("count", "finite", "zeros", "subnormal", "nan", "posinf", "neginf")


def _merge_moments(a: Statistics, b: Statistics) -> tuple[float | None, float | None, float | None]:
    if a.mean is None or a.rms is None:
        return b.mean, b.std, b.rms
    if b.mean is None or b.rms is None:
        return a.mean, a.std, a.rms
    count = a.finite + b.finite
    # A power of two near the largest magnitude keeps the squares within float64.
    largest = max(a.rms, b.rms)
    exponent = math.frexp(largest)[1]
    mean_a, mean_b = math.ldexp(a.mean, -exponent), math.ldexp(b.mean, -exponent)
    delta = mean_b - mean_a
    mean = mean_a + delta * (b.finite / count)
    mean = min(max(mean, min(mean_a, mean_b)), max(mean_a, mean_b))
    deviations = _deviations(a, exponent) + _deviations(b, exponent)
    deviations += delta * delta * (a.finite * b.finite / count)
    squares = sum(s.finite * math.ldexp(s.rms or 0.0, -exponent) ** 2 for s in (a, b))
    rms = math.ldexp(min(math.sqrt(squares / count), math.ldexp(largest, -exponent)), exponent)
    try:
        std = math.ldexp(math.sqrt(deviations / (count - 1)), exponent)
    except OverflowError:
        std = None
    return math.ldexp(mean, exponent), std, rms


def _deviations(part: Statistics, exponent: int) -> float:
    """Σ(x − mean)² of one part, divided by 4^exponent."""
    if part.std is not None:
        return math.ldexp(part.std, -exponent) ** 2 * (part.finite - 1)
    if part.finite < 2 or part.mean is None or part.rms is None:
        return 0.0
    # Two or more entries without a std: it does not fit in float64, but its parts do.
    mean, rms = math.ldexp(part.mean, -exponent), math.ldexp(part.rms, -exponent)
    return part.finite * max(rms * rms - mean * mean, 0.0)
