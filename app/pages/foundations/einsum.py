"""Einsum's page: axes coloured by letter, loops, cost, an equal form; or the broken rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem
from layerscope.app.foundations import Reading, Refused
from layerscope.app.foundations.einsum import EINSUM, EinsumAnswer, Refusal, shapes_text
from layerscope.app.pages.foundations.step import Step, answered, step_page
from layerscope.engine.basis.refusals import field_error
from layerscope.engine.basis.text import number_text, time_text
from layerscope.engine.foundations.einsum.examples import NotesRule
from layerscope.engine.foundations.einsum.explanation import EXAMPLES, NOTES_RULES
from layerscope.engine.foundations.tensors.display import TensorDisplay

__all__ = ["STEP"]

HUES = 12  # classes hue-0 … hue-11 of css/foundations-einsum.css
MOST_SHOWN = 150  # cells of a tensor that are written out on the page


@dataclass(frozen=True, slots=True)
class Link:
    """One of the notes' examples."""

    title: str
    equation: str
    query: str
    current: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The rule that was broken, and the place in the equation, marked."""

    rule: str
    sentence: str
    message: str
    equation: str
    caret: str
    """Spaces up to the place; None of it where the rule has no one place."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One tensor, written out where it is small."""

    name: str
    shape: str
    view: TensorDisplay | None


@dataclass(frozen=True, slots=True)
class View:
    """What the template draws beside the engine's record."""

    links: Sequence[Link]
    rules: Sequence[NotesRule]
    broken: Broken | None = None
    hues: dict[str, int] | None = None
    tensors: Sequence[Numbers] = ()
    time: str = ""
    form_time: str = ""
    points: str = ""
    naive: str = ""
    flops: str = ""
    speedup: str = ""
    difference: str = ""


router = APIRouter(include_in_schema=False)


@router.get("/foundations/einsum", response_class=HTMLResponse)
async def show(request: Request) -> Response:
    """The equation of the query string, explained and run."""
    reading = EINSUM.read(request.scope["query_string"])
    links = _links(reading)
    try:
        if reading.errors:
            raise Refused(reading.errors)
        work = request.app.state.compute.run(
            lambda stop: EINSUM.answer(**reading.values, should_stop=stop)
        )
        answer = await while_connected(request, work)
    except Refusal as refusal:
        error = field_error(refusal.field, refusal.message, reading.typed[refusal.field])
        view = View(links, NOTES_RULES, _broken(reading, refusal))
        page = step_page(request, "einsum", EINSUM, reading, [error], None, view)
        return await answered(request, page, 422)
    except Refused as refused:
        view = View(links, NOTES_RULES)
        page = step_page(request, "einsum", EINSUM, reading, refused.errors, None, view)
        return await answered(request, page, 422)
    except Problem as busy:
        view = View(links, NOTES_RULES)
        general = [field_error("", str(busy))]
        page = step_page(request, "einsum", EINSUM, reading, general, None, view)
        return await answered(request, page, busy.status)
    page = step_page(request, "einsum", EINSUM, reading, (), answer, _view(links, answer))
    return await answered(request, page)


def _links(reading: Reading) -> list[Link]:
    links = []
    for example in EXAMPLES:
        typed = {"equation": example.equation, "shapes": shapes_text(example.shapes)}
        current = all(reading.typed[name] == text for name, text in typed.items())
        links.append(Link(example.title, example.equation, urlencode(typed), current))
    return links


def _broken(reading: Reading, refusal: Refusal) -> Broken:
    equation = reading.typed["equation"]
    at = refusal.position
    return Broken(
        rule=refusal.rule,
        sentence=str(refusal.sentence),
        message=refusal.message,
        equation=equation,
        caret="" if at is None else f"{' ' * at}^",
    )


def _view(links: Sequence[Link], answer: EinsumAnswer) -> View:
    e, run = answer.explanation, answer.run
    views = [
        Numbers(o.name, str(tuple(o.shape)), _small(view))
        for o, view in zip(e.operands, run.operands, strict=True)
    ]
    return View(
        links=links,
        rules=NOTES_RULES,
        hues={letter.label: letter.index % HUES for letter in e.letters},
        tensors=[*views, Numbers("result", str(tuple(run.shape)), _small(run.result))],
        time=time_text(run.seconds),
        form_time=time_text(run.form_seconds),
        points=number_text(e.points),
        naive=number_text(e.contraction.naive_flops),
        flops=number_text(e.contraction.flops),
        speedup=number_text(e.contraction.speedup) if e.contraction.speedup else "",
        difference="0" if run.max_difference == 0 else f"{run.max_difference:.1e}",
    )


def _small(view: TensorDisplay | None) -> TensorDisplay | None:
    return view if view is not None and view.elements <= MOST_SHOWN else None


STEP = Step(
    "einsum",
    "Einsum",
    "Any product and sum of tensors in one line: which letters are kept, which are summed.",
    router,
)
