"""The page of a step of the tour: a form's state as a page, to htmx as the part that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures.text import shown
from layerscope.app.forms import Control, Form, controls
from layerscope.app.foundations import TOUR, Step
from layerscope.app.pages.render import address, environment, in_part, render_shared
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.foundations.record import value_text

__all__ = ["Position", "StepPage", "answered", "step_page", "step_router"]

environment.filters["number"] = shown
environment.filters["value_text"] = value_text


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page stands in the tour."""

    number: int
    count: int
    previous: Step | None
    following: Step | None
    """None at the end, where the Lab follows."""


@dataclass(frozen=True)
class StepPage:
    """What the template of a step receives as ``page``."""

    step: Step
    position: Position
    fragment: bool
    """Whether htmx asks for the changing part alone."""
    path: str
    twin: str
    """The JSON route with the same content."""
    form: Form[Any]
    controls: Mapping[str, Control]
    answer: Any
    """The engine's record; None when the query was refused."""
    picture: Any
    """The page's own view of it."""


def step_router(step: Step) -> APIRouter:
    """The route of a page whose state is its step's form."""
    router = APIRouter(include_in_schema=False)

    @router.get(f"/foundations/{step.name}", response_class=HTMLResponse, name=step.route)
    async def show(request: Request) -> Response:
        form = Form.read(step.form, request.query_params.multi_items())
        answer, status = None, 200
        try:
            work = request.app.state.compute.run(partial(_pictured, step, form), quick=True)
            answer, drawn = await while_connected(request, work)
        except InvalidParameters as refused:
            form, status = replace(form, errors=tuple(refused.errors)), 422
            drawn = step.refused(form, refused.__cause__)
        except Problem as busy:
            form, status = form.refused(str(busy)), busy.status
            drawn = step.refused(form, busy)
        return await answered(request, step_page(request, step, form, answer, drawn), status)

    return router


def _pictured(step: Step, form: Form[Any], should_stop: ShouldStop) -> tuple[Any, Any]:
    found = step.ask(form, should_stop)
    return found, step.picture(form, found)


def step_page(
    request: Request, step: Step, form: Form[Any], answer: Any = None, drawn: Any = None
) -> StepPage:
    """What the template of ``step`` receives; each message stands beside its control."""
    at = TOUR.index(step)
    return StepPage(
        step=step,
        position=Position(
            number=at + 1,
            count=len(TOUR),
            previous=TOUR[at - 1] if at else None,
            following=TOUR[at + 1] if at + 1 < len(TOUR) else None,
        ),
        fragment=in_part(request),
        path=address(request, step.route),
        twin=address(request, step.twin, form.query()),
        form=form,
        controls=controls(form.model, form.typed, form.messages),
        answer=answer,
        picture=drawn,
    )


async def answered(request: Request, page: StepPage, status: int = 200) -> Response:
    """The page, whole or what htmx asks for."""
    template = f"pages/foundations/{page.step.name}.html"
    return await render_shared(request, template, page, status)
