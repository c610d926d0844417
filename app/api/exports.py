"""A run as a file: its table, or all of it as a page that needs no server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from layerscope.app.api.responses import NO_STORE, bodiless, described, problems
from layerscope.app.errors import refused
from layerscope.app.exported import run_document
from layerscope.app.forms import query_parameter
from layerscope.app.recorded import RunId, Stored, asked, from_store
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe import parquet
from layerscope.engine.probe.table import lines
from layerscope.engine.store import Store

__all__ = ["router"]

router = APIRouter(tags=["runs"], default_response_class=Response)
AT_ONCE = 2**20
"""Bytes of a file that are sent at once."""

Pieces = Iterator[str] | Iterator[bytes]


@dataclass(frozen=True, slots=True)
class _Format:
    """Media type and contents of a kind of file."""

    media: str
    pieces: Callable[[Store, str, Sequence[Facts]], Pieces]


def _html(store: Store, run: str, _: Sequence[Facts]) -> Iterator[str]:
    return iter([run_document(store, run)])


def _parquet(store: Store, run: str, facts: Sequence[Facts]) -> Iterator[bytes]:
    """Errors: ``Problem`` 422 where pyarrow is not installed."""
    if not parquet.available():
        raise refused("format", f"{parquet.MISSING}; csv needs nothing", "parquet")
    return _read(partial(parquet.write, store, run, facts))


def _read(write: Callable[[IO[bytes]], None]) -> Iterator[bytes]:
    """What ``write`` writes, by way of a file: a run may be larger than the memory."""
    with tempfile.TemporaryFile() as file:
        write(file)
        file.seek(0)
        while piece := file.read(AT_ONCE):
            yield piece


FORMATS = {
    "csv": _Format("text/csv", lines),
    "parquet": _Format("application/vnd.apache.parquet", _parquet),
    "html": _Format("text/html", _html),
}


@router.get(
    "/runs/{run}/export",
    summary="A run as a file",
    openapi_extra={
        "parameters": [
            query_parameter("format", "Of the file: a table, or a page that needs no server.",
                            {"type": "string", "enum": list(FORMATS), "default": "csv"}),
        ]
    },
    responses={
        200: described("A row a step and module, or the page.", "text/csv", {"type": "string"},
                       "step,time,loss,module,std\n1,1.8e9,2.3,0,1.0\n"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def export_run(request: Request, run: RunId, store: Stored) -> Response:
    """`csv` and `parquet` have every recorded step with all its digits, nothing where nothing was
    recorded; `html` has pictures, findings and settings in one file."""
    wanted = asked(request, ("format",)).get("format", ["csv"])[-1]
    chosen = FORMATS.get(wanted)
    if chosen is None:
        raise refused("format", f"expected one of {', '.join(FORMATS)}", wanted)
    facts = await from_store(lambda: store.facts(run))
    headers = {
        **NO_STORE,
        "Content-Disposition": f'attachment; filename="{run}.{wanted}"',
    }
    if request.state.head:
        return bodiless(chosen.media, headers)
    pieces = await from_store(partial(chosen.pieces, store, run, facts))
    return StreamingResponse(pieces, headers=headers, media_type=chosen.media)
