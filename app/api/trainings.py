"""Trainings of ours: begun, led while they go, gone on with, and branched from a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.parameters import check_json_type, parse_json
from layerscope.app.api.responses import described_json, problems
from layerscope.app.encoding import json_bytes
from layerscope.app.errors import refused
from layerscope.app.recorded import RunId
from layerscope.app.trainings import Leading
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.experiment import Experiment
from layerscope.engine.training import Training

__all__ = ["router"]

router = APIRouter(tags=["trainings"], default_response_class=Response)
LONGEST_NAME = 200
LAST = 10**9
BEGUN = described_json("It has begun.", {"id": "0197f2c31b0e8a4c"}, "id")
LED = described_json("It will be so.", {"id": "0197f2c31b0e8a4c"}, "id")


def _body(properties: dict[str, Any], example: Mapping[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": False, "properties": properties,
              "required": list(required)}  # fmt: skip
    content = {"schema": schema, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


@router.post(
    "/runs",
    summary="Train a network of ours",
    status_code=202,
    openapi_extra=_body(
        {"experiment": {"type": "object", "description": "As `POST /api/v1/experiment` has it."},
         "training": {"type": "object", "properties": Training.json_schema()["properties"],
                      "additionalProperties": False},
         "name": {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}},
        {"experiment": {"depth": 5, "data": "digits", "loss": "cross_entropy"},
         "training": {"optimizer": "adam", "learning_rate": 0.001, "steps": 200}},
    ),
    responses={202: BEGUN, **problems(413, 415, 422, 503)},
)  # fmt: skip
async def begin_training(request: Request, trainings: Leading) -> Response:
    """In a process of its own; `GET /api/v1/runs/{id}/stream` follows it like any other run."""
    body = await _object(request, "experiment", "training", "name")
    errors: list[Mapping[str, Any]] = []
    read: dict[str, Any] = {}
    for name, model in (("experiment", Experiment), ("training", Training)):
        try:
            read[name] = model.from_json(body.get(name, {}))
        except InvalidParameters as invalid:
            errors += ({**e, "field": f"{name}.{e['field']}"} for e in invalid.errors)
    if errors:
        raise InvalidParameters(errors)
    name = body.get("name", "")
    if "name" in body and not (isinstance(name, str) and 0 < len(name.strip()) <= LONGEST_NAME):
        raise refused("name", f"expected a text of 1 to {LONGEST_NAME} characters", name)
    run = await trainings.begin(read["experiment"], read["training"], name)
    return _answer(run, 202)


@router.post(
    "/runs/{run}/stop",
    summary="Stop a training of ours",
    responses={200: LED, **problems(404, 409, 422, 503)},
)
async def stop_training(run: RunId, trainings: Leading) -> Response:
    """After the step that it is at; `resume` goes on with it."""
    await trainings.wish(run, stopped=True)
    return _answer(run)


@router.post(
    "/runs/{run}/pause",
    summary="Pause a training of ours",
    responses={200: LED, **problems(404, 409, 422, 503)},
)
async def pause_training(run: RunId, trainings: Leading) -> Response:
    """After the step that it is at."""
    await trainings.wish(run, paused=True)
    return _answer(run)


@router.post(
    "/runs/{run}/resume",
    summary="Go on with a training of ours",
    responses={200: LED, **problems(404, 409, 422, 503)},
)
async def resume_training(run: RunId, trainings: Leading) -> Response:
    """One that is paused, or from its last recorded step one that was stopped or killed."""
    await trainings.resume(run)
    return _answer(run)


@router.post(
    "/runs/{run}/step",
    summary="One more step of a training of ours",
    responses={200: LED, **problems(404, 409, 422, 503)},
)
async def step_training(run: RunId, trainings: Leading) -> Response:
    """And pause it."""
    await trainings.step(run)
    return _answer(run)


@router.post(
    "/runs/{run}/rate",
    summary="Set the learning rate of a training of ours",
    openapi_extra=_body({"learning_rate": {"type": "number", "minimum": 0, "maximum": 1e9}},
                        {"learning_rate": 0.01}, "learning_rate"),
    responses={200: LED, **problems(404, 409, 413, 415, 422, 503)},
)  # fmt: skip
async def set_rate(request: Request, run: RunId, trainings: Leading) -> Response:
    """From its next step on; its schedule still applies."""
    body = await _object(request, "learning_rate")
    rate = Training.from_json({"learning_rate": body.get("learning_rate")}).learning_rate
    await trainings.wish(run, rate=rate)
    return _answer(run)


@router.post(
    "/runs/{run}/rewind",
    summary="Begin again from a step of a training of ours",
    status_code=202,
    openapi_extra=_body({"step": {"type": "integer", "minimum": 1, "maximum": LAST}},
                        {"step": 40}, "step"),
    responses={202: BEGUN, **problems(404, 409, 413, 415, 422, 503)},
)  # fmt: skip
async def rewind_training(request: Request, run: RunId, trainings: Leading) -> Response:
    """A run of its own, which has the steps up to this one, and waits, paused: nothing is lost."""
    step = (await _object(request, "step")).get("step")
    if isinstance(step, float) and step.is_integer():  # 5.0 is JSON's 5
        step = int(step)
    if not isinstance(step, int) or isinstance(step, bool) or not 1 <= step <= LAST:
        raise refused("step", "expected the number of a recorded step", step)
    return _answer(await trainings.rewind(run, step), 202)


async def _object(request: Request, *names: str) -> dict[str, Any]:
    check_json_type(request)
    body = parse_json(await request.body())
    if not isinstance(body, dict):
        raise refused("body", f"expected an object with {', '.join(names)}")
    if unknown := set(body) - set(names):
        raise refused(sorted(unknown)[0], f"unknown; expected one of {', '.join(names)}")
    return body


def _answer(run: str, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 202:
        headers["Location"] = f"/api/v1/runs/{run}"
    return Response(json_bytes({"id": run}), status, headers, "application/json")
