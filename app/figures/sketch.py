"""A result's curve as a picture the size of a word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.statistics import Statistics

__all__ = ["HEIGHT", "WIDTH", "Sketch", "sketch"]

WIDTH, HEIGHT = 44, 18
DECADES = 10.0
"""What half the height stands for: the sketches share one scale, so that they tell one story."""
POINTS = 24


@dataclass(frozen=True, slots=True)
class Sketch:
    """``path`` is an SVG path in a 44×18 box; ``fault`` the x from where nothing is finite."""

    path: str
    fault: float | None


def sketch(tensors: Sequence[Statistics]) -> Sketch:
    """log₁₀ std from the first tensor (left) to the last (right), 1 at half the height.

    The line ends where a tensor is no longer finite, and lies on the floor where all is zero.

    >>> import torch
    >>> from engine.statistics import statistics
    >>> sketch([statistics(torch.tensor([1.0, -1.0]))] * 2).path
    'M1 8.89L39 8.89'
    """
    shown = sorted({round(i * (len(tensors) - 1) / (POINTS - 1)) for i in range(POINTS)})
    points: list[str] = []
    for i in shown:
        x = 1 + i * (WIDTH - 6) / max(1, len(tensors) - 1)
        s = tensors[i]
        if s.finite < s.count:
            return Sketch("M" + "L".join(points) if points else "", round(x, 1))
        scale = s.std or s.rms
        height = math.log10(scale) / DECADES if scale else -1.0
        y = HEIGHT / 2 - min(1.0, max(-1.0, height)) * (HEIGHT / 2 - 2)
        points.append(f"{x:.3g} {y:.3g}")
    return Sketch("M" + "L".join(points), None)
