"""The JSON routes, one file per noun."""

from __future__ import annotations

from fastapi import APIRouter

from layerscope.app.api import (
    entries,
    experiment,
    exports,
    foundations,
    health,
    layer,
    maps,
    registry,
    runs,
    series,
    trainings,
    why,
)
from layerscope.app.api.entries import ENTRIES
from layerscope.app.api.responses import OTHER_PROBLEMS

__all__ = ["ENTRIES", "make_router"]


def make_router() -> APIRouter:
    """Every JSON route; those of analyses as they are registered now."""
    router = APIRouter(responses=OTHER_PROBLEMS)
    nouns = (experiment, layer, registry, foundations, runs, series, exports, trainings, entries,
             maps)  # fmt: skip
    for noun in nouns:
        router.include_router(noun.router, prefix="/api/v1")
    router.include_router(why.make_router(), prefix="/api/v1")
    router.include_router(health.router)
    return router
