"""A run as a file: its table, or all of it as a page that needs no server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from layerscope.app.api.responses import NO_STORE, bodiless, described, problems
from layerscope.app.errors import Problem, refused
from layerscope.app.exported import run_document
from layerscope.app.forms import query_parameter
from layerscope.app.recorded import RunId, Stored, asked, from_store
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe import parquet
from layerscope.engine.probe.table import lines
from layerscope.engine.store import Store

__all__ = ["Exports", "router"]

router = APIRouter(tags=["runs"], default_response_class=Response)

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
    return parquet.pieces(store, run, facts)


class Exports:
    """How many files are written at once; ``app.state.exports``.

    Args:
        most: the bound.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0

    def take(self) -> None:
        """Count one more. Errors: ``Problem`` 503 beyond the bound."""
        if self.running >= self.most:
            raise Problem(
                503, f"{self.running} runs are being written as files, and this server writes at "
                f"most {self.most} at once.", kind="busy", title="Too many exports at once",
            )  # fmt: skip
        self.running += 1

    def give(self) -> None:
        """It was written, or never will be."""
        self.running -= 1


class _Export(StreamingResponse):
    """A file while it is written; whatever ends it gives its place back."""

    def __init__(self, exports: Exports, pieces: Pieces, headers: dict[str, str], media: str):
        super().__init__(pieces, headers=headers, media_type=media)
        self._exports = exports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exports.give()


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
    exports: Exports = request.app.state.exports
    exports.take()
    try:
        pieces = await from_store(partial(chosen.pieces, store, run, facts))
    except BaseException:
        exports.give()
        raise
    return _Export(exports, pieces, headers, chosen.media)
