"""A step of the tour: what its page is made of, and how a form's state becomes a page.

A page whose whole state is a `Question` is one call of `step_router`; it answers a whole page, or
to htmx only the part that changes, and keeps what was typed beside the message about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures import number
from layerscope.app.foundations import Field, Question, Reading, Refused
from layerscope.app.pages.render import environment, render
from layerscope.engine.foundations.record import value_text

__all__ = [
    "STEPS",
    "Box",
    "Place",
    "Step",
    "StepPage",
    "answered",
    "boxes",
    "is_fragment",
    "place_of",
    "step_page",
    "step_router",
]


def shown(value: float | None) -> str:
    """A number as the pages show it: three significant digits, or ``nan``, ``inf``.

    >>> shown(0.0333333), shown(float("-inf"))
    ('0.0333', '-inf')
    """
    return number(value) if value is None or math.isfinite(value) else value_text(value)


environment.filters["number"] = shown
environment.filters["value_text"] = value_text


@dataclass(frozen=True, slots=True)
class Step:
    """One page of the tour, as the others see it."""

    slug: str
    """Its address, ``/foundations/<slug>``; also its template's and its sketch's name."""
    title: str
    lead: str
    """What one sees here, in one sentence."""
    router: APIRouter
    """Its routes, with their whole path."""

    @property
    def path(self) -> str:
        return f"/foundations/{self.slug}"


STEPS: list[Step] = []
"""Filled by ``layerscope.app.pages.foundations``, in the order of the tour."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page stands in the tour."""

    step: Step
    number: int
    count: int
    previous: Step | None
    following: Step | None
    """None at the end, where the Lab follows."""


def place_of(slug: str) -> Place:
    """The place of the step called ``slug``."""
    at = next(i for i, step in enumerate(STEPS) if step.slug == slug)
    before = STEPS[at - 1] if at else None
    after = STEPS[at + 1] if at + 1 < len(STEPS) else None
    return Place(STEPS[at], at + 1, len(STEPS), before, after)


@dataclass(frozen=True, slots=True)
class Box:
    """A field with what stands in it; what ``macros/foundations.html`` draws."""

    field: Field
    value: str
    error: str

    @property
    def unknown(self) -> bool:
        """Whether the value is none of the options, and must be shown all the same."""
        return self.value not in {name for name, _ in self.field.options}


@dataclass(frozen=True)
class StepPage:
    """What the template of a step receives as ``page``."""

    place: Place
    fragment: bool
    """Whether htmx asks for the changing part alone."""
    boxes: Mapping[str, Box]
    reading: Reading
    refusal: str
    """What is wrong with no field in particular."""
    twin: str
    """The JSON route with the same content."""
    answer: Any
    """The engine's record; None when the query was refused."""
    picture: Any
    """The page's own view of it."""

    @property
    def path(self) -> str:
        return self.place.step.path


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, and will swap in no more than the changing part."""
    return "hx-request" in request.headers


def boxes(reading: Reading, errors: Mapping[str, str]) -> dict[str, Box]:
    """A box for every field, by its name."""
    return {f.name: Box(f, reading.typed[f.name], errors.get(f.name, "")) for f in reading.fields}


def step_router(
    slug: str, question: Question, picture: Callable[[Reading, Any], Any] = lambda _, __: None
) -> APIRouter:
    """The route of a page whose state is ``question``'s fields.

    Args:
        slug: of its step; the template is ``pages/foundations/<slug>.html``.
        question: what the form asks.
        picture: makes of a reading and its answer what the template draws.
    """
    router = APIRouter(include_in_schema=False)

    @router.get(f"/foundations/{slug}", response_class=HTMLResponse, name=f"foundations_{slug}")
    async def show(request: Request) -> Response:
        reading = question.read(request.scope["query_string"])
        answer, drawn, status = None, None, 200
        errors: tuple[Mapping[str, Any], ...] = ()
        try:
            work = request.app.state.compute.run(
                lambda stop: (found := question.ask(reading, stop), picture(reading, found))
            )
            answer, drawn = await while_connected(request, work)
        except Refused as refused:
            errors, status = refused.errors, 422
        except Problem as busy:
            errors, status = ({"field": "", "message": str(busy)},), busy.status
        page = step_page(request, slug, question, reading, errors, answer, drawn)
        return await answered(request, page, status)

    return router


def step_page(
    request: Request,
    slug: str,
    question: Question,
    reading: Reading,
    errors: Sequence[Mapping[str, Any]] = (),
    answer: Any = None,
    drawn: Any = None,
) -> StepPage:
    """What the template of ``slug`` receives; each message stands beside its control."""
    names = {f.name for f in reading.fields}
    beside: dict[str, str] = {}
    for error in errors:
        beside.setdefault(error["field"], error["message"])
    general = [
        e["message"] if e["field"] in ("", "query") else f"{e['field'][:40]}: {e['message']}"
        for e in errors
        if e["field"] not in names
    ]
    query = reading.query()
    return StepPage(
        place=place_of(slug),
        fragment=is_fragment(request),
        boxes=boxes(reading, beside),
        reading=reading,
        refusal="; ".join(general[:3]),
        twin=f"/api/v1/foundations/{question.name}" + (f"?{query}" if query else ""),
        answer=answer,
        picture=drawn,
    )


async def answered(request: Request, page: StepPage, status: int = 200) -> Response:
    """The page, whole or what htmx asks for."""
    template = f"pages/foundations/{page.place.step.slug}.html"
    response = await render(request, template, page, status)
    response.headers["Vary"] = "HX-Request"
    return response
