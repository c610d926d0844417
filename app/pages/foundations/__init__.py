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

__all__ = ["PAGES", "ConclusionPage", "Stop", "TourPage"]

OWN = {"matmul": matmul.router, "schemes": schemes.router}
"""Pages that are more than a form's answer: they grow while it is computed."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Stop:
    """A page of another section on the tour: its name for ``url_for``, and what it is about."""

    route: str
    title: str
    lead: str


WHYS = (
    Stop(
        "why_phase",
        "Phase diagram",
        "Order, chaos, and the edge between them at which depth can be reached.",
    ),
    Stop(
        "why_spectrum",
        "Spectrum",
        "What one step back through all layers does to a gradient's directions.",
    ),
    Stop(
        "why_precision",
        "Precision",
        "What float16 and bfloat16 lose of the signal and of the gradient.",
    ),
)


@dataclass(frozen=True, slots=True)
class TourPage:
    """What the tour's template receives."""

    steps: Sequence[Step]
    whys: Sequence[Stop]
    """The pages that say why, which come behind the Lab."""


@dataclass(frozen=True, slots=True)
class ConclusionPage:
    """The last page's template needs no more than addresses."""


@router.get("/foundations", response_class=HTMLResponse, name="tour")
async def tour(request: Request) -> Response:
    """All steps at a glance."""
    return await render(request, "pages/foundations/tour.html", TourPage(TOUR, WHYS))


@router.get("/foundations/conclusion", response_class=HTMLResponse, name="conclusion")
async def conclusion(request: Request) -> Response:
    """What the tour comes to."""
    return await render(request, "pages/foundations/conclusion.html", ConclusionPage())


PAGES: tuple[Page, ...] = (
    Page("/foundations", "Tour", "Foundations", router),
    *(
        Page(f"/foundations/{step.name}", step.title, "Foundations",
             OWN.get(step.name) or step_router(step))
        for step in TOUR
    ),
)  # fmt: skip
