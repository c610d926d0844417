"""A recorded step as the signal strip, for the slider over a run's steps."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.encoding import json_bytes
from layerscope.app.figures.signal import Signal, signal
from layerscope.app.recorded import LAST_STEP, RunId, Stored, asked, from_store, whole
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import outlined
from layerscope.engine.store import Store

__all__ = ["router", "signal_at"]

router = APIRouter(include_in_schema=False)
FRESH = {"Cache-Control": "no-store"}


@router.get("/runs/{run}/signal", name="run_signal")
async def run_signal(request: Request, run: RunId, store: Stored) -> Response:
    """The recorded step nearest to ``step``, by default the last."""
    step = whole(asked(request, ("step",)), "step", 0, LAST_STEP)
    if request.state.head:
        return Response(headers=FRESH, media_type="application/json")
    found = await from_store(lambda: signal_at(store, run, store.facts(run), step))
    return Response(json_bytes(found.to_dict()), headers=FRESH, media_type="application/json")


def signal_at(store: Store, run: str, facts: Sequence[Facts], step: int | None) -> Signal:
    """The same, in a thread that may ask the store."""
    stored = store.nearest(run, LAST_STEP if step is None else step)
    return signal(None if stored is None else outlined(stored), facts)
