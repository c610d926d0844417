"""The HTML routes, one file per page.

A page is a route file with a ``PAGE``, a template and one line here; the header follows.
"""

from __future__ import annotations

from fastapi import APIRouter

from layerscope.app.pages import foundations, lab, why
from layerscope.app.pages.render import NAVIGATION

__all__ = ["make_router"]


def make_router() -> APIRouter:
    """Every page's routes, and the header's links; analyses as they are registered now."""
    NAVIGATION[:] = [lab.PAGE, *foundations.PAGES, *why.pages()]
    router = APIRouter()
    for page in NAVIGATION:
        router.include_router(page.router)
    return router
