"""Foundations as JSON: ``/api/v1/foundations/<name>``, the content of the page of the same name."""

from __future__ import annotations

from fastapi import APIRouter

from layerscope.app.api.foundations import streams
from layerscope.app.api.foundations.twins import add_twin
from layerscope.app.foundations import TOUR
from layerscope.app.foundations.matmul import SCALING

__all__ = ["router"]

router = APIRouter(prefix="/foundations", tags=["foundations"])
for _step in (*TOUR, SCALING):
    add_twin(router, _step)
router.include_router(streams.router)
