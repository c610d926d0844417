"""The page of an address that there is not, for people; programs get the problem."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from layerscope.app.errors import answer
from layerscope.app.pages.render import render

__all__ = ["MissingPage", "missing"]


@dataclass(frozen=True, slots=True)
class MissingPage:
    """What the template receives."""

    path: str


async def missing(request: Request, error: Exception) -> Response:
    """The 404 in the form that was asked for."""
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return await answer(request, error)
    page = await render(request, "pages/missing.html", MissingPage(request.url.path), 404)
    page.headers["Cache-Control"] = "no-store"
    page.headers["Vary"] = "Accept"
    return page
