"""A tensor as a picture in the hue of its direction, with its figures in words."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from layerscope.app.figures.pixels import Pixels, pixels
from layerscope.app.figures.strip import cell_words, lost_words
from layerscope.app.figures.text import number
from layerscope.engine.statistics import Statistics

__all__ = ["Drawn", "drawn"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A tensor as ``pixels`` in the ``hue`` of its direction; what they show is its ``label``."""

    name: str
    shape: str
    label: str
    summary: str
    """Its size in a few figures."""
    lost: str
    """Said in place of the picture where nothing is finite."""
    pooling: str
    hue: str
    pixels: Pixels


def drawn(name: str, of: str, tensor: Tensor, s: Statistics, hue: str) -> Drawn:
    """The tensor called ``name`` of a layer, whose figures ``s`` are; ``hue`` is a token of
    css/tokens.css."""
    pooled, shape = pixels(tensor), list(tensor.shape)
    lost = ", ".join(lost_words(s))
    seen = lost or f"from {number(s.min)} to {number(s.max)}"
    pooling = pooled.pooling.replace("none: one cell an entry", "one pixel an entry")
    return Drawn(
        name=name,
        shape="×".join(map(str, shape)),
        label=f"{name} of {of}, {' by '.join(map(str, shape))}: {seen}",
        summary=cell_words(s),
        lost="" if s.finite else lost,
        pooling=f"{pooling}; colour ∝ √|x|, ±{number(pooled.limit)}" if pooled.limit else pooling,
        hue=hue,
        pixels=pooled,
    )
