"""Foundations: the notes' experiments as a guided tour. A step is a module with a ``STEP``, a
template ``pages/foundations/<name>.html``, a sketch ``partials/foundations/sketch/<name>.html`` and
one line in `TOUR`; page, JSON twin, OpenAPI and navigation follow."""

from __future__ import annotations

from layerscope.app.foundations import (
    broadcasting,
    derivatives,
    einsum,
    elementwise,
    ladder,
    layer,
    matmul,
    neuron,
    reductions,
    schemes,
)
from layerscope.app.foundations.step import Step

__all__ = ["TOUR", "Step"]

TOUR: tuple[Step, ...] = (
    neuron.STEP,
    layer.STEP,
    elementwise.STEP,
    reductions.STEP,
    broadcasting.STEP,
    matmul.STEP,
    einsum.STEP,
    schemes.STEP,
    derivatives.STEP,
    ladder.STEP,
)
"""In the tour's order."""
