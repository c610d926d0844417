"""Runs: the list, one of them, several compared, following one, and what is changed of it."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import (
    AFTER,
    Computing,
    check_json_type,
    known_entry,
    parse_json,
)
from layerscope.app.api.responses import (
    NO_STORE,
    bodiless,
    described_events,
    described_json,
    fresh,
    problems,
)
from layerscope.app.api.series import BETWEEN
from layerscope.app.compared import MOST_RUNS, OFFERED, chosen_runs, compare
from layerscope.app.encoding import json_text
from layerscope.app.errors import refused
from layerscope.app.forms import query_parameter
from layerscope.app.recorded import (
    SPAN,
    Follower,
    RunId,
    Stored,
    asked,
    from_store,
    question,
    whole,
)
from layerscope.app.streams import EventStream, Wire
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.series import SERIES, column, outlined
from layerscope.engine.store import Following, Run

__all__ = ["router"]

router = APIRouter(tags=["runs"], default_response_class=Response)
RUN = {
    "id": "0197f2c31b0e8a4c", "name": "digits", "state": "running", "created": 1.8e9,
    "updated": 1.8e9, "steps": 120, "last_step": 120, "last_loss": 0.31, "tags": [],
    "verdict": None, "config": {}, "summary": {},
}  # fmt: skip


@router.get(
    "/runs",
    summary="List runs, newest first",
    openapi_extra={
        "parameters": [
            query_parameter("limit", "So many at most.",
                            {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
            query_parameter("before", "What `next` said: the runs that are older.",
                            {"type": "string"}),
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
    return fresh({"runs": [_of(run) for run in found], "next": following})


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
    return fresh({**_of(found), "modules": [_facts(f) for f in facts], "findings": findings})


@router.get(
    "/compare",
    summary="Runs on the same axes",
    openapi_extra={
        "parameters": [
            query_parameter("run", "The runs by their ids.",
                            {"type": "array", "minItems": 2, "maxItems": MOST_RUNS,
                             "uniqueItems": True,
                             "items": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}},
                            required=True),
            query_parameter("quantity", "Which figure, beside the loss.",
                            {"type": "string", "enum": list(OFFERED), "default": "std"}),
            query_parameter("module", "Its qualified name; by default the first that all have.",
                            {"type": "string"}),
            *BETWEEN,
        ]
    },
    responses={
        200: described_json("Each run's loss and values by its steps, the settings in which they "
                            "differ, and findings by rule, each with one entry a run; `left_out` "
                            "counts settings that are not told.",
                            {"quantity": "std", "module": "0", "runs": [], "differs": {},
                             "same": {}, "left_out": 0, "findings": {}},
                            "runs", "differs", "findings"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def compare_runs(request: Request, store: Stored) -> Response:
    """`values` is null for a run without such a module, `module` for what is the whole run's. A
    setting's name is its path; a name of it that has a dot is in quotes, and so is text that reads
    like a number."""
    given = asked(request, ("run", "quantity", "module", *SPAN))
    wanted = question(given, OFFERED)
    ids = chosen_runs(given.get("run", ()))
    if len(ids) < 2:
        raise refused("run", f"expected two to {MOST_RUNS} runs", len(ids))
    if request.state.head:
        return bodiless("application/json", NO_STORE)
    module = given.get("module", [None])[-1]
    found = await from_store(partial(compare, store, ids, module, wanted))
    return fresh(found.to_dict())


@router.get(
    "/runs/{run}/stream",
    summary="Follow a run",
    openapi_extra={"parameters": [AFTER]},
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
    after = known_entry(request)
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
        out: list[Wire] = [("run", json_text(_of(came.run)))]
        if came.modules is not None:
            self.facts = came.modules
            out.append(("modules", json_text([_facts(f) for f in came.modules])))
        for stored in came.steps:
            step = outlined(stored)
            figures = {
                "number": stored.number,
                "time": stored.time,
                "loss": stored.loss,
                "nonfinite": stored.nonfinite,
                "learning_rates": step.learning_rates if step else [],
                "values": {name: column(name, step, self.facts) for name in SERIES},
            }
            out.append(("step", json_text(figures), str(stored.sequence)))
        if came.findings is not None:
            out.append(("findings", json_text(came.findings)))
        return out


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

    return fresh(_of(await from_store(change)))


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
    return fresh(_of(await from_store(partial(store.run, run))))


def _of(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.to_dict().items() if name != "sequence"}


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        "index": facts.index, "name": facts.name, "kind": facts.kind, "role": facts.role,
        "shape": facts.shape, "dtype": facts.dtype,
    }  # fmt: skip
