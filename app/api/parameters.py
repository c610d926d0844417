"""From a request to an experiment: query strings and JSON bodies, strictly read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request

from layerscope.app.compute import Compute
from layerscope.app.errors import Problem, refused
from layerscope.app.forms import query_parameter
from layerscope.app.recorded import LAST_STEP, asked, whole
from layerscope.app.settings import Settings
from layerscope.engine.basis.refusals import InvalidParameters, field_error
from layerscope.engine.basis.specification import BOOLEANS
from layerscope.engine.experiment import Experiment

__all__ = [
    "AFTER", "CHECK", "FORMAT", "Asked", "AskedByBody", "AskedByQuery", "Computing", "Configured",
    "FromQuery", "asked_by_body", "asked_by_query", "check_csv", "check_json_type", "from_query",
    "known_entry", "not_json", "parse_json", "split_query",
]  # fmt: skip

TRUTH = "expected true or false"
REPEATED = "given more than once; expected it once"
JSON_TYPE = re.compile(r"application/(json|[\w.-]+\+json)\s*(;.*)?", re.IGNORECASE)


AFTER = query_parameter(
    "after", "The id of the last event that is known; `Last-Event-ID` goes before.",
    {"type": "integer", "minimum": 0, "maximum": LAST_STEP},
)  # fmt: skip
"""Of a stream that can be resumed."""
CHECK = query_parameter(
    "check",
    "Whether every gradient is held against autograd's, which takes as long again as the passes.",
    {"type": "boolean", "default": False},
)
"""Of an experiment's whole result."""
FORMAT = query_parameter(
    "format", "Of the file.", {"type": "string", "enum": ["csv"], "default": "csv"}
)
"""Of a table."""


# FastAPI would run a plain function in a thread of its own; these are done before one starts.
async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _compute(request: Request) -> Compute:
    compute: Compute = request.app.state.compute
    return compute


Configured = Annotated[Settings, Depends(_settings)]
"""The settings that the application was made with."""
Computing = Annotated[Compute, Depends(_compute)]
"""Where the application computes."""


def split_query(request: Request, extra: Iterable[str] = ()) -> tuple[Experiment, dict[str, str]]:
    """The experiment of the query string, and the parameters named in ``extra``.

    Errors: ``InvalidParameters`` for a bad, unknown or repeated parameter.
    """
    names = set(extra)
    pairs: list[tuple[str, str]] = []
    others: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in names:
            pairs.append((name, value))
        elif name in others:
            raise refused(name, REPEATED, value)
        else:
            others[name] = value
    return Experiment.from_strings(pairs), others


async def from_query(request: Request) -> Experiment:
    """The experiment of the query string; whoever computes holds what that costs to the limits."""
    return split_query(request)[0]


class Asked(NamedTuple):
    """An experiment, and whether its gradients are to be held against autograd's."""

    experiment: Experiment
    check: bool


async def asked_by_query(request: Request) -> Asked:
    """What a query asks: an experiment's parameters, and `CHECK`."""
    experiment, others = split_query(request, ("check",))
    return Asked(experiment, _truth("check", others.get("check", "false")))


async def asked_by_body(request: Request) -> Asked:
    """What a JSON body asks, likewise; `CHECK` may stand in it or in the query.

    Errors: ``Problem`` 415 for another content type, 413 for a body over the limit, 422 for what
    is not JSON; otherwise as the query string's.
    """
    check_json_type(request)
    body = parse_json(await request.body())
    text, *more = asked(request, ("check",)).get("check", ["false"])
    if more:
        raise refused("check", REPEATED, text)
    check = _truth("check", text)
    if isinstance(body, dict) and "check" in body:
        given = body.pop("check")
        if not isinstance(given, bool):
            raise refused("check", TRUTH, given)
        check |= given
    return Asked(Experiment.from_json(body), check)


def _truth(name: str, text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise refused(name, TRUTH, text)
    return BOOLEANS[text.lower()]


FromQuery = Annotated[Experiment, Depends(from_query)]
AskedByQuery = Annotated[Asked, Depends(asked_by_query)]
AskedByBody = Annotated[Asked, Depends(asked_by_body)]


def known_entry(request: Request) -> int:
    """The last entry that whoever follows knows: of `Last-Event-ID`, else of ``after``, else 0.

    Errors: ``Problem`` 422.
    """
    given = asked(request, ("after",))
    last = request.headers.get("last-event-id", "")
    return whole({"after": [last]} if last.isdecimal() else given, "after", 0, LAST_STEP) or 0


def check_csv(request: Request) -> None:
    """Refuse to write a table in another ``format`` than CSV. Errors: ``Problem`` 422."""
    wanted = asked(request, ("format",)).get("format", ["csv"])[-1]
    if wanted != "csv":
        raise refused("format", "expected csv", wanted)


def check_json_type(request: Request) -> None:
    """Refuse a body that says it is something other than plain JSON.

    Errors: ``Problem`` 415.
    """
    content_type = request.headers.get("content-type", "")
    coded = request.headers.get("content-encoding", "identity")
    if not JSON_TYPE.fullmatch(content_type) or coded != "identity":
        raise Problem(
            415,
            f"The body is {content_type or 'of no stated type'}"
            f"{'' if coded == 'identity' else f' as {coded}'}; expected application/json.",
            headers={"Accept-Post": "application/json"},
        )


def parse_json(body: bytes) -> object:
    """The value that ``body`` holds, by the letter of RFC 8259.

    Errors: ``Problem`` 422 for anything else, for NaN and Infinity, which are no JSON, and
    ``InvalidParameters`` for a name that stands twice in one object.

    >>> parse_json(b'{"depth": 3}')
    {'depth': 3}
    """
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unrepeated, parse_constant=_no_constant
        )
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise not_json(f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError:  # \ud800 is an escape that stands for no character
        raise not_json("half a surrogate pair; expected whole characters") from None
    except json.JSONDecodeError as error:
        raise not_json(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise not_json("nested too deeply; expected one object of parameters") from None
    except InvalidParameters:
        raise
    except ValueError as error:  # a constant, or an integer of thousands of digits
        raise not_json(str(error)) from None
    return value


def not_json(why: str) -> Problem:
    """The 422 for a body that is no JSON, or no JSON of ours."""
    return refused("body", f"not readable as JSON: {why}")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidParameters([field_error(name, REPEATED, value)])
        found[name] = value
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON; expected a finite number")
