"""The pages of Foundations: the tour, and one for each of its steps."""

from __future__ import annotations

from layerscope.app.foundations import TOUR
from layerscope.app.pages.foundations import matmul, schemes, tour
from layerscope.app.pages.foundations.step import step_router
from layerscope.app.pages.render import Page

__all__ = ["PAGES"]

OWN = {"matmul": matmul.router, "schemes": schemes.router}
"""Pages that are more than a form's answer: they grow while it is computed."""

PAGES: tuple[Page, ...] = (
    Page("/foundations", "Tour", "Foundations", tour.router),
    *(
        Page(f"/foundations/{step.name}", step.title, "Foundations",
             OWN.get(step.name) or step_router(step))
        for step in TOUR
    ),
)  # fmt: skip
