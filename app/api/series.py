"""A run over its steps: one figure a module and step, or a tensor's histograms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from layerscope.app.api.responses import NO_STORE, bodiless, described_json, fresh, problems
from layerscope.app.errors import refused
from layerscope.app.forms import query_parameter
from layerscope.app.recorded import (
    LAST_STEP,
    MOST_POINTS,
    SPAN,
    Question,
    RunId,
    Stored,
    asked,
    from_store,
    known_facts,
    question,
)
from layerscope.engine.probe.series import QUANTITIES, Series, history
from layerscope.engine.probe.spread import HISTOGRAM, OUTPUT, Spreads, spreads, tensors_of
from layerscope.engine.store import Store
from layerscope.engine.store.entries import AnyFacts
from layerscope.engine.store.sampling import FEWEST

__all__ = ["BETWEEN", "router"]

router = APIRouter(tags=["runs"], default_response_class=Response)
STEP_NUMBER = {"type": "integer", "minimum": 0, "maximum": LAST_STEP}
BETWEEN = (
    query_parameter("from", "First step.", STEP_NUMBER),
    query_parameter("to", "Last step.", STEP_NUMBER),
    query_parameter("points", "So many steps of a run at most.",
                    {"type": "integer", "minimum": FEWEST, "maximum": MOST_POINTS,
                     "default": 300}),
)  # fmt: skip
"""`SPAN`, as OpenAPI has it."""
MOST_HISTOGRAMS = 20_000
"""In one answer, some megabytes."""


@router.get(
    "/runs/{run}/series",
    summary="One quantity of a run over its steps",
    openapi_extra={
        "parameters": [
            query_parameter("quantity", "Which figure.",
                            {"type": "string", "enum": [*QUANTITIES, HISTOGRAM],
                             "default": "std"}),
            query_parameter("modules", "Qualified names, separated by commas; all by default.",
                            {"type": "string"}),
            query_parameter("tensor", "Of which the histograms are: `activation`, "
                            "`activation.grad`, `input`, or a parameter by its name in the module, "
                            "with `.grad`, `.unclipped` (its gradient before clipping) or "
                            "`.update`.", {"type": "string", "default": OUTPUT}),
            *BETWEEN,
        ]
    },
    responses={
        200: described_json("A row a module, a value a step, null where nothing was recorded; a "
                            "histogram with `dtypes`, the tensor's in each module.",
                            {"quantity": "std", "steps": [1, 2], "modules": ["0"],
                             "values": [[1.0, 0.98]]}, "steps", "modules", "values"),
        **problems(404, 422, 503),
    },
)  # fmt: skip
async def get_series(request: Request, run: RunId, store: Stored) -> Response:
    """Fewer steps than there are keep the extremes of the loss and whatever is not finite."""
    given = asked(request, ("quantity", "modules", "tensor", *SPAN))
    wanted = question(given, (*QUANTITIES, HISTOGRAM))
    tensor = given.get("tensor", [OUTPUT])[-1]
    if "tensor" in given and wanted.quantity != HISTOGRAM:
        raise refused("tensor", f"expected with quantity={HISTOGRAM} only", tensor)
    if request.state.head:
        return bodiless("application/json", NO_STORE)
    read = partial(_histograms, tensor=tensor) if wanted.quantity == HISTOGRAM else _series
    return fresh(await from_store(partial(read, store, run, wanted)))


def _series(store: Store, run: str, wanted: Question) -> Series:
    facts = _wanted(store.facts(run), wanted)
    steps = store.steps(run, wanted.start, wanted.stop, points=wanted.points,
                        payload=wanted.quantity != "loss")  # fmt: skip
    return history(wanted.quantity, steps, facts)


def _histograms(store: Store, run: str, wanted: Question, tensor: str) -> Spreads:
    facts = _wanted(known_facts(store, run), wanted)
    if wanted.modules and not any(tensor in tensors_of(f) for f in facts):
        names = list(dict.fromkeys(name for f in facts for name in tensors_of(f)))
        raise refused("tensor", f"expected one of {', '.join(names)}", tensor)
    if len(facts) * wanted.points > MOST_HISTOGRAMS:
        detail = (f"expected at most {MOST_HISTOGRAMS // wanted.points} modules with up to "
                  f"{wanted.points} points each")  # fmt: skip
        raise refused("modules", detail, len(facts))
    steps = store.steps(run, wanted.start, wanted.stop, points=wanted.points)
    return spreads(tensor, steps, facts)


def _wanted(facts: Sequence[AnyFacts], wanted: Question) -> Sequence[AnyFacts]:
    """Those of the modules that are asked for, all by default. Errors: ``Problem`` 422."""
    if not wanted.modules:
        return facts
    known = {f.name: f for f in facts}
    if missing := [name for name in wanted.modules if name not in known]:
        raise refused("modules", "expected qualified names of this run's modules", missing[0])
    return [known[name] for name in wanted.modules]
