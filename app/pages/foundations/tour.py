"""The guided tour: every step in the notes' order, ending in the Lab."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.foundations import TOUR, Step
from layerscope.app.pages.render import render

__all__ = ["TourPage", "router"]

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class TourPage:
    """What the tour's template receives."""

    steps: Sequence[Step]


@router.get("/foundations", response_class=HTMLResponse, name="tour")
async def tour(request: Request) -> Response:
    """All steps at a glance."""
    return await render(request, "pages/foundations/tour.html", TourPage(TOUR))
