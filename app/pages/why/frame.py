"""What the pages under ``/why`` share: the Lab's query, its form, a picture of the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem
from layerscope.app.forms import Control, Form
from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.render import address, render
from layerscope.app.results import is_quick
from layerscope.engine.analyses import ANALYSES, AnalysisUndefined
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.experiment import Experiment

__all__ = ["View", "WhyPage", "why_router"]


def _all(found: Any) -> Any:
    return found


@dataclass(frozen=True, slots=True)
class View:
    """The page of an analysis: its words, which controls come first, what it makes of an answer."""

    name: str
    """The analysis'."""
    title: str
    lead: str
    first: tuple[str, ...]
    picture: Callable[[Any], Any]
    link: tuple[str, str] | None = None
    """How the Lab calls it, and what it says of it; None: the Lab does not."""
    told: Callable[[Any], Any] = _all
    """What of the answer its template asks for beside the picture, where that is little of it."""
    onward: tuple[str, str] | None = None
    """Where the tour goes on: a title, and the name of the route."""
    template: str = ""
    """Under ``pages/why/``; by default the one of the analysis' name."""

    @property
    def route(self) -> str:
        """The page's name for ``url_for``."""
        return f"why_{self.name}"


@dataclass(frozen=True)
class WhyPage:
    """What the template of a page receives as ``page``."""

    view: View
    path: str
    lab: str
    """The same experiment in the Lab."""
    twin: str
    """The JSON route with the same content."""
    first: Sequence[Control]
    more: Sequence[Control]
    open_more: bool
    """Whether one of the further controls differs from its default, or is refused."""
    refusal: str
    errors: Sequence[Mapping[str, str]]
    experiment: Experiment | None
    answer: Any
    picture: Any
    onward: tuple[str, str] | None = None
    """Title and address of the tour's next page."""


def why_router(view: View) -> APIRouter:
    """The route of ``view``."""
    router = APIRouter(include_in_schema=False)
    analysis = ANALYSES[view.name]

    @router.get(f"/why/{view.name}", response_class=HTMLResponse, name=view.route)
    async def page(request: Request) -> Response:
        form = Form.read(Experiment, request.query_params.multi_items())
        answer, picture, status = None, None, 422
        try:
            experiment = form.valid()
            needed = request.app.state.settings.limits.check(analysis.cost(experiment))
            if request.state.head:
                return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
            work = request.app.state.compute.run(
                partial(_pictured, view, experiment), quick=is_quick(needed.flops)
            )
            answer, picture = await while_connected(request, work)
            status = 200
        except InvalidParameters:
            pass  # the form says why
        except AnalysisUndefined as error:
            form = form.refused(str(error), error.field)
        except OverLimit as error:
            form = form.refused(str(error))
        except Problem as problem:
            form, status = form.refused(str(problem)), problem.status
        template = view.template or f"{view.name}.html"
        shown = _page(request, view, form, answer, picture)
        return await render(request, f"pages/why/{template}", shown, status)

    return router


def _pictured(view: View, experiment: Experiment, should_stop: ShouldStop) -> tuple[Any, Any]:
    found = ANALYSES[view.name].run(experiment, should_stop=should_stop)
    return view.told(found), view.picture(found)


def _page(
    request: Request, view: View, form: Form[Experiment], answer: Any, picture: Any
) -> WhyPage:
    every = experiment_controls(form.typed, form.messages)
    more = [c for c in every.values() if c.name not in view.first]
    query = urlencode(form.value.to_query()) if form.value else ""
    return WhyPage(
        view=view,
        path=address(request, view.route),
        lab=address(request, "lab", query),
        twin=address(request, f"{view.route}_json", query),
        first=[every[name] for name in view.first],
        more=more,
        open_more=any(c.error or c.value != c.default for c in more),
        refusal=form.refusal,
        errors=[{"field": e["field"], "message": e["message"]} for e in form.errors],
        experiment=form.value,
        answer=answer,
        picture=picture,
        onward=(view.onward[0], address(request, view.onward[1])) if view.onward else None,
    )
