"""The HTML routes, one file per page.

A page is a route file with a ``PAGE``, a template and one line here; the header follows.
"""

from __future__ import annotations

from fastapi import APIRouter

from layerscope.app.pages import foundations, lab, why
from layerscope.app.pages.render import NAVIGATION

__all__ = ["PAGES", "router"]

PAGES = (
    lab.PAGE,
    *foundations.PAGES,
    *why.PAGES,
)

NAVIGATION[:] = PAGES
router = APIRouter()
for _page in PAGES:
    router.include_router(_page.router)
