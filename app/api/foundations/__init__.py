"""Foundations as JSON: ``/api/v1/foundations/<noun>``, the content of the page of the same name.

A question of ``layerscope.app.foundations`` is one entry of ``QUESTIONS``; a route of another
kind (a stream, a list) is a file of its own with a ``router`` in ``ROUTERS``. Prefix and tag are
added here.
"""

from __future__ import annotations

from fastapi import APIRouter

from layerscope.app.api.foundations import streams
from layerscope.app.api.foundations.questions import question_router
from layerscope.app.foundations import Question
from layerscope.app.foundations.broadcasting import BROADCASTING
from layerscope.app.foundations.derivatives import DERIVATIVES
from layerscope.app.foundations.einsum import EINSUM
from layerscope.app.foundations.elementwise import ELEMENTWISE
from layerscope.app.foundations.ladder import LADDER
from layerscope.app.foundations.layer import LAYER
from layerscope.app.foundations.neuron import NEURON
from layerscope.app.foundations.reductions import REDUCTION
from layerscope.app.foundations.schemes import SCHEMES

__all__ = ["QUESTIONS", "ROUTERS", "router"]

QUESTIONS: tuple[Question, ...] = (
    NEURON,
    LAYER,
    ELEMENTWISE,
    REDUCTION,
    BROADCASTING,
    EINSUM,
    SCHEMES,
    DERIVATIVES,
    LADDER,
)  # fmt: skip

ROUTERS: tuple[APIRouter, ...] = (
    question_router(QUESTIONS),
    streams.router,
)  # fmt: skip

router = APIRouter(prefix="/foundations", tags=["foundations"])
for _router in ROUTERS:
    router.include_router(_router)
