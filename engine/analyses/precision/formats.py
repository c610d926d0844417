"""The number formats, in one table that everything reads; and how much of a tensor each loses."""

from __future__ import annotations

import math
from dataclasses import asdict, astuple, dataclass
from operator import add

import torch

from layerscope.engine.statistics import Histogram

__all__ = ["FORMATS", "Fit", "Format", "fit"]

IEEE = "IEEE 754-2019, table 3.5"
BFLOAT = "Kalamkar et al. 2019, A study of BFLOAT16 for deep learning training"
OFP8 = "Micikevicius et al. 2022, FP8 formats for deep learning; OCP 8-bit floating point 1.0"


@dataclass(frozen=True, slots=True)
class Format:
    """A binary floating-point format with round-to-nearest, ties to even.

    ``fraction_bits`` are those stored behind the leading one. Exponents are true ones: the largest
    number lies in [2^max_exponent, 2^(max_exponent + 1)), the smallest normal number is
    2^min_exponent, the smallest subnormal one 2^least_exponent. ``has_inf``: too large a number
    becomes Inf; float8 e4m3fn has none, there it becomes NaN, or the largest number in conversions
    that saturate, as newer PyTorch's do: lost either way.
    """

    name: str
    bits: int
    fraction_bits: int
    largest: float
    max_exponent: int
    min_exponent: int
    has_inf: bool
    source: str

    @property
    def least_exponent(self) -> int:
        """log₂ of the smallest number above zero."""
        return self.min_exponent - self.fraction_bits

    @property
    def overflow_from(self) -> float:
        """Half a step above the largest number; what lies beyond rounds to Inf (or NaN).

        >>> FORMATS["float16"].overflow_from, FORMATS["float8_e4m3fn"].overflow_from
        (65520.0, 464.0)
        """
        return self.largest + math.ldexp(1.0, self.max_exponent - self.fraction_bits - 1)

    def overflows(self, magnitude: float) -> bool:
        """Whether a number of this magnitude is lost; the tie goes to the even neighbour.

        >>> [FORMATS["float8_e4m3fn"].overflows(x) for x in (448.0, 464.0, 465.0)]
        [False, False, True]
        """
        # With Inf, the largest number ends in ones: its even neighbour is out of range. e4m3fn
        # gives the last pattern to NaN, so that its largest number is even and takes the tie.
        edge = self.overflow_from
        return magnitude >= edge if self.has_inf else magnitude > edge

    @property
    def dtype(self) -> torch.dtype:
        """The same as a dtype of torch's."""
        dtype: torch.dtype = getattr(torch, self.name)
        return dtype

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "least_exponent": self.least_exponent}


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("float32", 32, 23, (2 - 2**-23) * 2.0**127, 127, -126, True, IEEE),
        Format("bfloat16", 16, 7, (2 - 2**-7) * 2.0**127, 127, -126, True, BFLOAT),
        Format("float16", 16, 10, 65504.0, 15, -14, True, IEEE),
        Format("float8_e5m2", 8, 2, 57344.0, 15, -14, True, OFP8),
        Format("float8_e4m3fn", 8, 3, 448.0, 8, -6, False, OFP8),
    )
}
"""By torch's name, widest first."""


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
