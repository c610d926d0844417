"""The pages of Foundations: the tour, and one for each of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.foundations import TOUR, Step
from layerscope.app.pages.foundations import matmul, schemes
from layerscope.app.pages.foundations.step import step_router
from layerscope.app.pages.render import Page, render

__all__ = ["PAGES", "TourPage"]

OWN = {"matmul": matmul.router, "schemes": schemes.router}
"""Pages that are more than a form's answer: they grow while it is computed."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class TourPage:
    """What the tour's template receives."""

    steps: Sequence[Step]


@router.get("/foundations", response_class=HTMLResponse, name="tour")
async def tour(request: Request) -> Response:
    """All steps at a glance."""
    return await render(request, "pages/foundations/tour.html", TourPage(TOUR))


PAGES: tuple[Page, ...] = (
    Page("/foundations", "Tour", "Foundations", router),
    *(
        Page(f"/foundations/{step.name}", step.title, "Foundations",
             OWN.get(step.name) or step_router(step))
        for step in TOUR
    ),
)  # fmt: skip
