"""A histogram over powers of two as a picture: above the line positive entries, below negative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.engine.statistics import Histogram

__all__ = ["HEIGHT", "WIDTH", "Bars", "bars"]

WIDTH, HEIGHT = 200, 44
MIDDLE = HEIGHT / 2
TALLEST = 20.0
GAP = 0.3


@dataclass(frozen=True, slots=True)
class Bars:
    """SVG paths in a 200×44 box; ``exponents`` are the first and the last, None without any."""

    above: str
    below: str
    exponents: tuple[int, int] | None


def bars(histogram: Histogram) -> Bars:
    """One bar for each power of two, the tallest of either sign as high as there is room.

    >>> import torch
    >>> from layerscope.engine.statistics import statistics
    >>> bars(statistics(torch.tensor([1.0, 1.0, -2.0])).histogram)
    Bars(above='M0.30 2h99.40v20h-99.40z', below='M100.30 22h99.40v10h-99.40z', exponents=(0, 1))
    """
    tallest = max([1, *histogram.positive.tolist(), *histogram.negative.tolist()])
    exponents = histogram.exponents
    return Bars(
        _path(histogram.positive.tolist(), tallest, up=True),
        _path(histogram.negative.tolist(), tallest, up=False),
        (exponents[0], exponents[-1]) if exponents else None,
    )


def _path(counts: Sequence[int], tallest: int, *, up: bool) -> str:
    each = WIDTH / max(1, len(counts))
    width = f"{each - 2 * GAP:.2f}"
    parts = []
    for i, count in enumerate(counts):
        if count:
            height = TALLEST * count / tallest
            top = MIDDLE - height if up else MIDDLE
            parts.append(f"M{i * each + GAP:.2f} {top:g}h{width}v{height:g}h-{width}z")
    return "".join(parts)
