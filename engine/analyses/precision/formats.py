"""The number formats: how large, how small, how fine; the one table that everything reads."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

__all__ = ["FORMATS", "Format"]

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
        """All fields, JSON-able."""
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
