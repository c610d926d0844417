"""Runs: the list of them, and one as it goes."""

from layerscope.app.pages.runs import run
from layerscope.app.pages.runs.listing import PAGE

__all__ = ["PAGE"]

PAGE.router.include_router(run.router)
