"""At which layer a number format runs out: overflow above, subnormals and zeros below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch

__all__ = ["FORMATS", "Event", "Forecast", "Level", "forecast", "formats_up_to"]

Event = Literal["overflow", "subnormal", "zero"]

FORMATS = ("float64", "float32", "bfloat16", "float16", "float8_e5m2", "float8_e4m3fn")
"""Every format a forecast is made for, by torch's name, wide ones first."""
FARTHEST = 1000  # blocks: the deepest network there can be
MEDIAN = math.log10(0.6745)  # |x| of a standard normal exceeds this half of the time
STILL = 1e-4  # decades per block: below this a slope forecasts nothing


@lru_cache(maxsize=64)
def _log10_peak(entries: int) -> float:
    return math.log10(max(1.0, math.sqrt(2 * math.log(max(1, entries)))))


class Level(NamedTuple):
    """Where one tensor stands: log10 of its typical rms (``None`` when exactly 0), and its size."""

    layer: int
    block: int
    log10_rms: float | None
    entries: int

    @property
    def log10_peak(self) -> float:
        """log10 of the largest of N Gaussian entries over their rms, about √(2 ln N)."""
        return _log10_peak(self.entries)


@dataclass(frozen=True, slots=True)
class Forecast:
    """One event in one format.

    ``overflow``: the largest entry passes the format's largest number; ``subnormal``: half of the
    entries are below its smallest normal; ``zero``: even the largest entry rounds to 0. ``block``
    is where it happens first, ``layer`` that layer's index. When ``extrapolated`` it lies outside
    this network, ``layer`` is ``None`` and ``block`` the depth at which it would happen.
    """

    dtype: str
    direction: Literal["forward", "backward"]
    event: Event
    block: int
    layer: int | None
    extrapolated: bool


@lru_cache(maxsize=16)
def _limits(dtype: str) -> dict[Event, float]:
    info = torch.finfo(getattr(torch, dtype))
    smallest: float = getattr(info, "smallest_subnormal", None) or info.tiny * info.eps
    return {
        "overflow": math.log10(info.max),
        "subnormal": math.log10(info.tiny) - MEDIAN,
        "zero": math.log10(smallest) - math.log10(2.0),  # half of it rounds to 0
    }


def formats_up_to(dtype: str) -> tuple[str, ...]:
    """``dtype`` and every format that takes fewer bits.

    Errors: ``ValueError`` naming the known formats.

    Example:
        >>> formats_up_to("float16")
        ('float16', 'float8_e5m2', 'float8_e4m3fn')
    """
    if dtype not in FORMATS:
        raise ValueError(f"unknown dtype {dtype!r}; expected one of: {', '.join(FORMATS)}")
    bits = torch.finfo(getattr(torch, dtype)).bits
    narrower = (f for f in FORMATS if torch.finfo(getattr(torch, f)).bits < bits)
    return (dtype, *narrower)


def forecast(
    levels: Sequence[Level],
    *,
    direction: Literal["forward", "backward"],
    dtype: str,
    depth: int,
    slope: float,
) -> list[Forecast]:
    """Every event in ``dtype`` and in each narrower format, first place first.

    Args:
        levels: tensors in the order in which the pass meets them.
        slope: decades by which the rms grows per block at the end of the pass, for events that lie
            beyond this network.
        depth: hidden blocks of this network.

    Example:
        >>> levels = [Level(k, k + 1, k + 1.0, 20_000) for k in range(50)]  # randn(100, 100)
        >>> found = forecast(levels, direction="forward", dtype="float32", depth=50, slope=1.0)
        >>> [(f.event, f.block) for f in found if f.dtype == "float32"]
        [('overflow', 38)]
    """
    typical = np.array([-np.inf if x.log10_rms is None else x.log10_rms for x in levels])
    largest = typical + np.array([x.log10_peak for x in levels])
    # What is exactly zero before something that is not is a branch that a sum passes by, here and
    # in every block: nothing ran out of range.
    nothing = np.isneginf(typical)
    branches = nothing & bool((nothing[:-1] & ~nothing[1:]).any())
    found = []
    for name in formats_up_to(dtype):
        for event, limit in _limits(name).items():
            if event == "overflow":
                past, towards = largest - limit, slope
            else:
                past, towards = limit - (typical if event == "subnormal" else largest), -slope
                past = np.where(branches, -np.inf, past)
            first = int(np.argmax(past > 0))
            if past[first] > 0:
                hit = levels[first]
                found.append(Forecast(name, direction, event, hit.block, hit.layer, False))
            elif towards > STILL and depth - past[-1] / towards <= FARTHEST:
                block = depth + math.ceil(-past[-1] / towards)
                found.append(Forecast(name, direction, event, block, None, True))
    return found
