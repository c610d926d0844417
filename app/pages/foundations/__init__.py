"""Foundations: the notes' experiments as a guided tour, one file per page.

A step is a module with a ``STEP``, a template ``pages/foundations/<slug>.html``, a sketch
``partials/foundations/sketch/<slug>.html`` and one line in ``TOUR``, whose order is the tour's.
"""

from __future__ import annotations

from layerscope.app.pages.foundations import (
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
    tour,
)
from layerscope.app.pages.foundations.step import STEPS, Step
from layerscope.app.pages.render import Page

__all__ = ["PAGES", "TOUR"]

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
)  # fmt: skip

STEPS[:] = TOUR

PAGES: tuple[Page, ...] = (
    Page("/foundations", "Tour", "Foundations", tour.router),
    *(Page(step.path, step.title, "Foundations", step.router) for step in TOUR),
)
