"""The JSON routes, one file per noun."""

from __future__ import annotations

from fastapi import APIRouter

from layerscope.app.api import docs, experiment, foundations, health, layer, registry, why

__all__ = ["router"]

router = APIRouter()
router.include_router(experiment.router, prefix="/api/v1")
router.include_router(layer.router, prefix="/api/v1")
router.include_router(registry.router, prefix="/api/v1")
router.include_router(foundations.router, prefix="/api/v1")
router.include_router(why.router, prefix="/api/v1")
router.include_router(health.router)
router.include_router(docs.router)
