"""A result's curve as a picture the size of a word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.engine.statistics import Statistics

__all__ = ["HEIGHT", "WIDTH", "Sketch", "line", "sketch"]

WIDTH, HEIGHT = 44, 18
DECADES = 10.0
"""What half the height stands for: the sketches share one scale, so that they tell one story."""
POINTS = 24


@dataclass(frozen=True, slots=True)
class Sketch:
    """``path`` is an SVG path in a 44×18 box; ``fault`` the first x at which nothing is finite."""

    path: str
    fault: float | None


def sketch(tensors: Sequence[Statistics]) -> Sketch:
    """log₁₀ std from the first tensor (left) to the last (right); see ``line``.

    >>> import torch
    >>> from layerscope.engine.statistics import statistics
    >>> sketch([statistics(torch.tensor([1.0, -1.0]))] * 2).path
    'M1 8.89L39 8.89'
    """
    return line([None if s.finite < s.count else s.std or s.rms for s in tensors])


def line(values: Sequence[float | None]) -> Sketch:
    """log₁₀ of each value, 1 at half the height.

    A missing value (nothing finite) leaves a gap, a zero lies on the floor.

    >>> line([1.0, None, 0.0])
    Sketch(path='M1 9M39 16', fault=20.0)
    """
    last = max(1, len(values) - 1)
    parts: list[str] = []
    fault: float | None = None
    pen = "M"
    for i in sorted({round(i * (len(values) - 1) / (POINTS - 1)) for i in range(POINTS)}):
        x = 1 + i * (WIDTH - 6) / last
        value = values[i] if values else None
        if value is None:
            fault = round(x, 1) if fault is None else fault
            pen = "M"
            continue
        height = math.log10(value) / DECADES if value else -1.0
        y = HEIGHT / 2 - min(1.0, max(-1.0, height)) * (HEIGHT / 2 - 2)
        parts.append(f"{pen}{x:.3g} {y:.3g}")
        pen = "L"
    return Sketch("".join(parts), fault)
