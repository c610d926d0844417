"""One tensor as one cell of the strip: a colour by magnitude, or a state that no colour can say."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerscope.app.figures.text import number
from layerscope.engine.statistics import Figures

__all__ = ["STEPS", "Cell", "cell", "cell_css", "cell_words", "lost", "lost_words", "step"]

STEPS = 33
"""Half decades from 10⁻⁸ (step 0) over 1 (16) to 10⁸ (32): the classes of ``magnitude.css``."""
INF, NAN = 1, 2


@dataclass(frozen=True, slots=True)
class Cell:
    """CSS classes, and the same in words for those who see no colours."""

    css: str
    text: str


def step(value: float) -> int:
    """Which colour ``value`` > 0 has; what lies beyond 10^±8 has the last one.

    >>> step(1.0), step(1e-9), step(10.0), step(1e38)
    (16, 0, 18, 32)
    """
    return min(STEPS - 1, max(0, math.floor(2 * math.log10(value) + 16.5)))


def cell(name: str, s: Figures, reference: float = 1.0) -> Cell:
    """The cell of a tensor called ``name``, coloured as ``cell_css`` does it.

    >>> import torch
    >>> from layerscope.engine.statistics import statistics
    >>> cell("relu1", statistics(torch.zeros(3))).css
    's-zero'
    """
    return Cell(cell_css(s, reference), f"{name}: {cell_words(s)}")


def cell_css(s: Figures, reference: float = 1.0) -> str:
    """The CSS classes of a tensor's cell: NaN before Inf before zero before colour.

    The colour is that of the std, or of the rms where all entries are alike, against a
    ``reference``: 1 for activations, the last layer's own for gradients. A notch marks a tensor
    most of whose nonzero entries are below the smallest normal number.
    """
    if s.nan:
        return "s-nan"
    if s.posinf + s.neginf:
        return "s-inf"
    value = s.std or s.rms
    if not value:
        return "s-zero"
    tiny = " s-tiny" if 2 * s.subnormal > s.count - s.zeros else ""
    return f"q{step(value / reference)}{tiny}"


def cell_words(s: Figures) -> str:
    """A tensor's std and mean, and what of it is not finite."""
    lost = lost_words(s)
    if not s.finite:
        return ", ".join(lost)
    alike = s.zeros == s.count
    main = "all zero" if alike else f"std {number(s.std)}, mean {number(s.mean)}"
    return ", ".join([main, *lost])


def lost(s: Figures | None) -> int:
    """1 for an infinity in a tensor plus 2 for a NaN; 0 where there is no tensor."""
    return 0 if s is None else INF * (s.posinf + s.neginf > 0) + NAN * (s.nan > 0)


def lost_words(s: Figures) -> list[str]:
    """How much of a tensor is NaN, and how much infinite."""
    return [
        f"all {kind}" if count == s.count else f"{count} {kind}"
        for kind, count in (("NaN", s.nan), ("Inf", s.posinf + s.neginf))
        if count
    ]
