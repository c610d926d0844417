"""Every error as ``application/problem+json`` (RFC 9457): one shape, under every route."""

from __future__ import annotations

import http
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from layerscope.engine.basis.cancellation import Stopped
from layerscope.engine.basis.refusals import InvalidParameters, field_error
from layerscope.engine.execution.cost import OverLimit

__all__ = ["KINDS", "RETRY_SECONDS", "Problem", "answer", "install", "invalid", "refused"]

KINDS = {
    "invalid": "A parameter is unknown, repeated, out of bounds or of the wrong type; `errors` "
    "names each with what was expected.",
    "over-limit": "The question is valid but costs more than this server allows. Where that was "
    "known beforehand, nothing was computed, and `limit`, `allowed` and `asked` say by how much; "
    "else the computation was ended when it had taken so much time or memory.",
    "no-such-layer": "The network of this experiment has no layer of this index.",
    "no-such-tensor": "This layer has no such tensor; only some layers have weights.",
    "too-large": "The tensor has too many entries for JSON; `npy` has no limit.",
    "busy": "As many computations run and wait as this server takes; `Retry-After` says when to "
    "try again.",
    "lost": "The process that computed was ended from outside; ask again.",
    "batch": "The body is no batch of a run's entries; `docs/wire.md` says what one is.",
    "gap": "Entries of this run before these are missing; `received` is the last that is there.",
    "no-such-run": "There is no run of this id.",
    "no-such-map": "There is no map of this id.",
    "not-ours": "The run is not one that this server can lead, or has nothing left to do.",
    "no-such-module": "This run has no module of this qualified name.",
    "store": "The runs' database can't be used now; the detail says why.",
    "starting": "The server is compiling its kernels; it will be ready within seconds.",
    "origin": "A page of another site asked; only its links are answered.",
    "token": "The server asks for the token that it printed at its start.",
    "host": "The request's `Host` is not one of this server's names.",
}
"""What a problem's ``type`` means, by its last part; the documentation page lists them."""

MOST_ERRORS = 20
"""Errors that one answer lists; the detail says how many more there were."""
RETRY_SECONDS = 2


class Problem(Exception):
    """An error with an RFC 9457 document.

    Args:
        status: the HTTP status.
        detail: what went wrong here, naming the value and what was expected.
        kind: the last part of the ``type`` reference, for example ``"over-limit"``; without one
            the type is ``about:blank``, which says no more than the status does.
        title: what all problems of this type have in common; the status's phrase by default.
        headers: further headers of the response.
        members: further members of the document, for example ``errors``.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        if kind is not None and kind not in KINDS:
            raise ValueError(f"problem type {kind!r} is not documented; add it to KINDS")
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        if status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_SECONDS))
        self.document: dict[str, Any] = {
            "type": f"/docs#problem-{kind}" if kind else "about:blank",
            "title": title or http.HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            **members,
        }

    def response(self) -> Response:
        """This problem, ready to be sent."""
        headers = {"Cache-Control": "no-store", **self.headers}
        body = orjson.dumps(self.document, default=str)
        return Response(body, self.status, headers, "application/problem+json")


def invalid(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The 422 for refused parameters; each error as ``field_error`` makes it."""
    listed = list(errors[:MOST_ERRORS])
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in listed[:5])
    if len(errors) > MOST_ERRORS:
        detail += f"; {len(errors)} errors in all, of which the first {MOST_ERRORS} are listed"
    return Problem(422, detail, kind="invalid", title="Invalid parameters", errors=listed)


def refused(field: str, message: str, value: object = None) -> Problem:
    """The 422 for one refused parameter."""
    return invalid([field_error(field, message, value)])


def _validation(_: Request, error: RequestValidationError) -> Problem:
    return invalid(
        [
            field_error(str(("request", *e["loc"])[-1]), e["msg"], e.get("input"))
            for e in error.errors()
        ]
    )


def _over_limit(_: Request, error: OverLimit) -> Problem:
    return Problem(
        422,
        str(error),
        kind="over-limit",
        title="Over a limit",
        limit=error.limit,
        allowed=error.allowed,
        asked=error.asked,
    )


def _http(request: Request, error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    path = field_error("", "", request.url.path)["value"]
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"There is nothing at {path}."
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"{request.method} is not possible at {path}; allowed: {headers['Allow']}."
    return Problem(error.status_code, detail, headers=headers)


def _allowed(request: Request) -> list[str]:
    """The methods that the request's path has, over all of its routes."""
    methods = set()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            methods.add(method)
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


PROBLEMS: dict[type[Exception], Callable[[Request, Any], Problem]] = {
    Problem: lambda _, problem: problem,
    RequestValidationError: _validation,
    HTTPException: _http,
    InvalidParameters: lambda _, error: invalid(error.errors),
    OverLimit: _over_limit,
    # Whoever closed his connection reads nothing; everybody else is told that we stop.
    Stopped: lambda _, __: Problem(503, "The server is stopping.", kind="busy", title="Too busy"),
}


async def answer(request: Request, error: Exception) -> Response:
    """The problem that ``error`` is."""
    problem = next(make for kind, make in PROBLEMS.items() if isinstance(error, kind))
    return problem(request, error).response()


def install(app: FastAPI) -> None:
    """Give ``app`` these problems; what is none of them is answered by the access log."""
    for kind in PROBLEMS:
        app.add_exception_handler(kind, answer)
