"""How much of a tensor a format would lose, from its histogram over powers of two alone."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from operator import add

from layerscope.engine.analyses.precision.formats import Format
from layerscope.engine.statistics import Histogram

__all__ = ["Fit", "fit"]


@dataclass(frozen=True, slots=True)
class Fit:
    """What becomes of a tensor's nonzero finite entries when they are rounded to a format.

    A power of two is all that is known of an entry, so two of them cannot be told apart, and are
    counted as kept:

    - the format's highest power of two, where entries within half a step of the next one overflow:
      ``overflow_boundary`` of them may be lost besides the ``overflow`` that are for certain. An
      exact power of two is kept.
    - the power below the smallest subnormal number, where everything rounds up to that number but
      an exact power of two, a tie, which rounds to zero: ``underflow_boundary`` besides
      ``underflow``.

    ``subnormal``: below the smallest normal number, and kept; fewer digits are left of them.
    """

    counted: int
    overflow: int
    overflow_boundary: int
    underflow: int
    underflow_boundary: int
    subnormal: int

    @property
    def lost(self) -> int:
        """Entries that overflow or become zero for certain."""
        return self.overflow + self.underflow

    def share(self, count: int) -> float | None:
        """``count`` of the entries counted; None where there are none."""
        return count / self.counted if self.counted else None

    def __add__(self, other: Fit) -> Fit:
        """The fit of two tensors' entries taken together."""
        return Fit(*map(add, astuple(self), astuple(other)))

    def to_dict(self) -> dict[str, float | int | None]:
        """Shares of the nonzero finite entries; ``…_most`` with the boundary counted as lost."""
        return {
            "counted": self.counted,
            "overflow": self.share(self.overflow),
            "overflow_most": self.share(self.overflow + self.overflow_boundary),
            "underflow": self.share(self.underflow),
            "underflow_most": self.share(self.underflow + self.underflow_boundary),
            "subnormal": self.share(self.subnormal),
        }


def fit(histogram: Histogram, format: Format, scale: int = 0) -> Fit:  # noqa: A002
    """The fit of a tensor, times 2^``scale``, to a format.

    >>> import torch
    >>> from layerscope.engine.analyses.precision.formats import FORMATS
    >>> from layerscope.engine.statistics import statistics
    >>> h = statistics(torch.tensor([2.0**20, 1.0, 2.0**-20, 2.0**-30])).histogram
    >>> f = fit(h, FORMATS["float16"])
    >>> f.counted, f.overflow, f.underflow, f.subnormal
    (4, 1, 1, 1)
    """
    counts = histogram.positive + histogram.negative
    first = histogram.first + scale

    def between(low: int, high: int | None) -> int:
        """Entries with low ≤ exponent < high."""
        stop = None if high is None else max(0, high - first)
        return int(counts[max(0, low - first) : stop].sum())

    zero = format.least_exponent - 1
    return Fit(
        counted=histogram.total,
        overflow=between(format.max_exponent + 1, None),
        overflow_boundary=between(format.max_exponent, format.max_exponent + 1),
        underflow=between(first, zero),
        underflow_boundary=between(zero, zero + 1),
        subnormal=between(zero, format.min_exponent),
    )
