"""What comes into a run: batches of entries from trainings elsewhere."""

from __future__ import annotations

import re
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.responses import described_json, problems
from layerscope.app.encoding import json_bytes
from layerscope.app.errors import Problem
from layerscope.app.recorded import RunId, Stored, from_store
from layerscope.engine.basis.refusals import field_error
from layerscope.engine.store import Batch, Gap, Store
from layerscope.engine.store.remote import MEDIA_TYPE

__all__ = ["ENTRIES", "router"]

router = APIRouter(tags=["runs"], default_response_class=Response)
ENTRIES = re.compile(r"/api/v1/runs/[^/]*/entries")
"""Where bodies are larger than elsewhere."""
BODY = {
    "requestBody": {
        "required": True,
        "description": "A batch, as `docs/wire.md` has it: a version byte, then MessagePack.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
RECEIVED = described_json(
    "The number of the run's last entry that is kept now; all up to it have been taken.",
    {"received": 1234},
    "received",
)


@router.post(
    "/runs/{run}/entries",
    summary="Add entries to a run",
    openapi_extra=BODY,
    responses={200: RECEIVED, **problems(409, 413, 415, 422, 503)},
)
async def add_entries(request: Request, run: RunId, store: Stored) -> Response:
    """A probe's `to="http://…"` sends these. What is there already is ignored, so that a batch may
    be sent again; one that begins after a gap is refused with the number to go on from."""
    content_type = request.headers.get("content-type", "")
    coded = request.headers.get("content-encoding", "identity")
    if content_type.partition(";")[0].strip().lower() != MEDIA_TYPE or coded != "identity":
        raise Problem(
            415,
            f"The body is {content_type or 'of no stated type'}"
            f"{'' if coded == 'identity' else f' as {coded}'}; expected {MEDIA_TYPE}.",
            headers={"Accept-Post": MEDIA_TYPE},
        )
    body = await request.body()
    received = await from_store(partial(_append, store, run, body))
    headers = {"Cache-Control": "no-store"}
    return Response(json_bytes({"received": received}), 200, headers, "application/json")


def _append(store: Store, run: str, body: bytes) -> int:
    try:
        return store.append(run, Batch.from_bytes(body))
    except ValueError as error:
        raise Problem(
            422,
            f"body: {error}",
            kind="batch",
            title="Not a batch of entries",
            errors=[field_error("body", str(error))],
        ) from None
    except Gap as gap:
        raise Problem(
            409,
            f"Run {run} has entries up to {gap.received}; expected the batch to begin with the "
            "next, or before it.",
            kind="gap",
            title="Entries are missing",
            received=gap.received,
        ) from None
