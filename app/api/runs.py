"""Runs: the list, one of them, its series, following it; and entries from trainings elsewhere."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from layerscope.app.api.parameters import Computing, check_json_type, parse_json
from layerscope.app.api.responses import (
    bodiless,
    described,
    described_events,
    described_json,
    json_bytes,
    problems,
)  # fmt: skip
from layerscope.app.errors import Problem, refused
from layerscope.app.recorded import Follower, Stored, asked, from_store, question, whole
from layerscope.app.streams import EventStream, Wire
from layerscope.engine.basis.refusals import field_error
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import QUANTITIES, History, column, history, recorded
from layerscope.engine.probe.step import SERIES
from layerscope.engine.store import Batch, Following, Gap, Run, Store, StoreError
from layerscope.engine.store.remote import MEDIA_TYPE

__all__ = ["ENTRIES", "router"]

router = APIRouter(tags=["runs"], default_response_class=Response)
ENTRIES = re.compile(r"/api/v1/runs/[^/]*/entries")
"""Where bodies are larger than elsewhere."""
RunId = Annotated[
    str,
    Path(
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="Its writer's choice: 1 to 64 letters, digits, hyphens or underscores.",
    ),
]
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
    received = await asyncio.to_thread(_append, store, run, body)
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
    except StoreError as error:
        raise Problem(503, f"{error}.", kind="store", title="The store is not usable") from None


RUN = {
    "id": "0197f2c31b0e8a4c", "name": "digits", "state": "running", "created": 1.8e9,
    "updated": 1.8e9, "steps": 120, "last_step": 120, "last_loss": 0.31, "tags": [],
    "verdict": None, "config": {}, "summary": {},
}  # fmt: skip
CHUNK = 500
"""Steps of an export read at once."""
NO_STORE = {"Cache-Control": "no-store"}


@router.get(
    "/runs",
    summary="List runs, newest first",
    openapi_extra={
        "parameters": [
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1,
             "maximum": 200, "default": 50}, "description": "So many at most."},
            {"name": "before", "in": "query", "schema": {"type": "string"},
             "description": "What `next` said: the runs that are older."},
        ]
    },
    responses={
        200: described_json("A page of runs, and where the next begins.",
                            {"runs": [RUN], "next": None}, "runs", "next"),
        **problems(422, 503),
    },
)  # fmt: skip
async def list_runs(request: Request, store: Stored) -> Response:
    """`state` is `running`, `finished`, `stopped` (its writer is gone) or `failed`; `verdict` is
    severity and title of the worst finding."""
    given = asked(request, ("limit", "before"))
    limit = whole(given, "limit", 1, 200) or 50
    before = given.get("before", [None])[-1]
    if request.state.head:
        return bodiless("application/json", NO_STORE)
    try:
        found, following = await from_store(partial(store.runs, limit, before))
    except ValueError as error:
        raise refused("before", str(error), before) from None
    return _json({"runs": [_of(run) for run in found], "next": following})


@router.get(
    "/runs/{run}",
    summary="A run: what it is, its modules, its findings",
    responses={
        200: described_json("The run.", {**RUN, "modules": [], "findings": []}, "id", "state",
                            "modules", "findings"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def get_run(request: Request, run: RunId, store: Stored) -> Response:
    """`modules` in forward order; `findings` the most severe first."""
    if request.state.head:
        return bodiless("application/json", NO_STORE)
    found, facts, findings = await from_store(
        lambda: (store.run(run), store.facts(run), store.findings(run))
    )
    return _json({**_of(found), "modules": [_facts(f) for f in facts], "findings": findings})


@router.get(
    "/runs/{run}/series",
    summary="One quantity of a run over its steps",
    openapi_extra={
        "parameters": [
            {"name": "quantity", "in": "query", "description": "Which figure.",
             "schema": {"type": "string", "enum": list(QUANTITIES), "default": "std"}},
            {"name": "modules", "in": "query", "schema": {"type": "string"},
             "description": "Qualified names, separated by commas; all by default."},
            {"name": "from", "in": "query", "schema": {"type": "integer", "minimum": 0},
             "description": "First step."},
            {"name": "to", "in": "query", "schema": {"type": "integer", "minimum": 0},
             "description": "Last step."},
            {"name": "points", "in": "query", "schema": {"type": "integer", "minimum": 10,
             "maximum": 2000, "default": 300}, "description": "So many steps at most."},
        ]
    },
    responses={
        200: described_json("A row a module, a value a step, null where nothing was recorded.",
                            {"quantity": "std", "steps": [1, 2], "modules": ["0"],
                             "values": [[1.0, 0.98]]}, "steps", "modules", "values"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def get_series(request: Request, run: RunId, store: Stored) -> Response:
    """Fewer steps than there are keep the extremes of the loss and whatever is not finite."""
    wanted = question(request)
    if request.state.head:
        return bodiless("application/json", NO_STORE)

    def read() -> History:
        facts = store.facts(run)
        if wanted.modules:
            known = {f.name: f for f in facts}
            if missing := [name for name in wanted.modules if name not in known]:
                raise refused("modules", "expected qualified names of this run's modules",
                              missing[0])  # fmt: skip
            facts = [known[name] for name in wanted.modules]
        steps = store.steps(run, wanted.start, wanted.stop, points=wanted.points,
                            payload=wanted.quantity != "loss")  # fmt: skip
        return history(wanted.quantity, steps, facts)

    return _json(await from_store(read))


@router.get(
    "/runs/{run}/stream",
    summary="Follow a run",
    openapi_extra={
        "parameters": [
            {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0},
             "description": "The id of the last event that is known; `Last-Event-ID` goes before."}
        ]
    },
    responses={
        200: described_events(
            "`run` (as in the list), `modules` and `findings` as they become known, and a `step` "
            "for each step, whose id, as `Last-Event-ID`, resumes after it; `end` once the run "
            "has ended.", ("run", "modules", "findings", "step"),
            'event: step\ndata: {"number":1,"loss":2.3,"values":{"std":[1.0]}}\nid: 3\n\n'),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def follow_run(request: Request, run: RunId, store: Stored, compute: Computing) -> Response:
    """Everything from the beginning, or from after an entry, as it comes."""
    given = asked(request, ("after",))
    last = request.headers.get("last-event-id", "")
    after = whole({"after": [last]} if last.isdecimal() else given, "after", 0, 10**18) or 0
    facts = await from_store(lambda: store.facts(run))
    if request.state.head:
        return bodiless("text/event-stream", NO_STORE)
    teller = _Teller(facts)
    return EventStream(Follower(store, run, after, teller.told, lambda: compute.closed))


class _Teller:
    """What is sent of each piece of a run."""

    def __init__(self, facts: list[Facts]) -> None:
        self.facts = facts

    def told(self, came: Following) -> list[Wire]:
        out: list[Wire] = [("run", _text(_of(came.run)))]
        if came.modules is not None:
            self.facts = came.modules
            out.append(("modules", _text([_facts(f) for f in came.modules])))
        for stored in came.steps:
            step = recorded(stored)
            figures = {
                "number": stored.number,
                "time": stored.time,
                "loss": stored.loss,
                "nonfinite": stored.nonfinite,
                "learning_rates": step.learning_rates if step else [],
                "values": {name: column(name, step, self.facts) for name in SERIES},
            }
            out.append(("step", _text(figures), str(stored.sequence)))
        if came.findings is not None:
            out.append(("findings", _text(came.findings)))
        return out


@router.get(
    "/runs/{run}/export",
    summary="A run as a table",
    openapi_extra={
        "parameters": [
            {"name": "format", "in": "query", "schema": {"type": "string", "enum": ["csv"],
             "default": "csv"}, "description": "Of the file."}
        ]
    },
    responses={
        200: described("A row a step and module.", "text/csv", {"type": "string"},
                       "step,time,loss,module,std\n1,1.8e9,2.3,0,1.0\n"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def export_run(request: Request, run: RunId, store: Stored) -> Response:
    """Every recorded step with all its digits; an empty field where nothing was recorded."""
    wanted = asked(request, ("format",)).get("format", ["csv"])[-1]
    if wanted != "csv":
        raise refused("format", "expected csv", wanted)
    facts = await from_store(lambda: store.facts(run))
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{_file(run)}.csv"'}
    if request.state.head:
        return bodiless("text/csv", headers)
    return StreamingResponse(_lines(store, run, facts), headers=headers, media_type="text/csv")


def _lines(store: Store, run: str, facts: list[Facts]) -> Iterator[str]:
    yield _csv([["step", "time", "loss", "module", *SERIES]])
    cursor, more = 0, True
    while more:
        came = store.follow(run, cursor, limit=CHUNK)
        cursor, more = came.cursor, came.more
        for stored in came.steps:
            step = recorded(stored)
            columns = [column(name, step, facts) for name in SERIES]
            head = [stored.number, stored.time, stored.loss]
            rows = zip(*columns, strict=True) if facts else ()
            yield _csv([*head, f.name, *row] for f, row in zip(facts, rows, strict=False))


def _csv(rows: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is quoted as text."""
    if isinstance(value, str) and value[:1] in "=+-@\t\r":
        return f"'{value}"
    return "" if value is None else value


def _file(run: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", run)[:64]


@router.patch(
    "/runs/{run}",
    summary="Rename a run, or tag it",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {
                "schema": {"type": "object", "additionalProperties": False, "minProperties": 1,
                           "properties": {"name": {"type": "string", "minLength": 1,
                                                   "maxLength": 200},
                                          "tags": {"type": "array", "maxItems": 50,
                                                   "items": {"type": "string",
                                                             "maxLength": 200}}}},
                "example": {"name": "digits, lr 0.1", "tags": ["keep"]}}},
        }
    },
    responses={200: described_json("The run.", RUN, "id"), **problems(404, 413, 415, 422, 503)},
)  # fmt: skip
async def change_run(request: Request, run: RunId, store: Stored) -> Response:
    """`name`, `tags` or both; the tags take the place of those before."""
    check_json_type(request)
    name, tags = _change(parse_json(await request.body()))

    def change() -> Run:
        if name is not None:
            store.rename(run, name)
        if tags is not None:
            store.tag(run, tags)
        return store.run(run)

    return _json(_of(await from_store(change)))


def _change(body: object) -> tuple[str | None, list[str] | None]:
    if not isinstance(body, dict) or not body:
        raise refused("body", "expected an object with `name`, `tags` or both")
    if unknown := set(body) - {"name", "tags"}:
        raise refused(sorted(unknown)[0], "unknown; expected name or tags")
    name, tags = body.get("name"), body.get("tags")
    if "name" in body and not (
        isinstance(name, str) and len(name.strip()) > 0 and len(name) <= 200
    ):
        raise refused("name", "expected a text of 1 to 200 characters", name)
    if "tags" in body and not (
        isinstance(tags, list) and len(tags) <= 50
        and all(isinstance(t, str) and len(t) <= 200 for t in tags)
    ):  # fmt: skip
        raise refused("tags", "expected a list of at most 50 texts of at most 200 characters", tags)
    return name, tags


@router.delete(
    "/runs/{run}",
    summary="Delete a run",
    status_code=204,
    responses={204: {"description": "It is gone from the list."}, **problems(404, 422, 503)},
)
async def delete_run(run: RunId, store: Stored) -> Response:
    """It leaves the list; `restore` brings it back."""
    await from_store(partial(store.delete, run))
    return Response(status_code=204)


@router.post(
    "/runs/{run}/restore",
    summary="Bring a deleted run back",
    responses={200: described_json("The run.", RUN, "id"), **problems(404, 422, 503)},
)
async def restore_run(run: RunId, store: Stored) -> Response:
    """Undoes `DELETE`."""
    await from_store(partial(store.restore, run))
    return _json(_of(await from_store(partial(store.run, run))))


def _of(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.to_dict().items() if name != "sequence"}


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "index": facts.index, "name": facts.name, "kind": facts.kind, "role": facts.role,
        "shape": facts.shape, "dtype": facts.dtype,
    }  # fmt: skip


def _json(value: object) -> Response:
    return Response(json_bytes(value), 200, NO_STORE, "application/json")


def _text(value: object) -> str:
    return json_bytes(value).decode()
