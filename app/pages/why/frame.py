"""What the pages under ``/why`` share: an experiment in the query, a form, a picture of the answer.

Every page is the experiment of its query string under another eye: the form has the Lab's controls,
held to the same rules, and the same query opens the Lab.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import while_connected
from layerscope.app.errors import Problem
from layerscope.app.forms import Control
from layerscope.app.pages.controls import experiment_controls
from layerscope.app.pages.render import render
from layerscope.engine.analyses import ANALYSES, AnalysisUndefined
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.experiment.specification import Experiment

__all__ = ["View", "WhyPage", "why_router"]


@dataclass(frozen=True, slots=True)
class View:
    """One page: its address, its words, which controls come first, what it makes of an answer."""

    slug: str
    title: str
    lead: str
    first: tuple[str, ...]
    picture: Callable[[Any], Any]

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/why/{self.slug}"


@dataclass(frozen=True)
class WhyPage:
    """What the template of a page receives as ``page``."""

    view: View
    first: Sequence[Control]
    more: Sequence[Control]
    open_more: bool
    """Whether one of the further controls differs from its default, or is refused."""
    refusal: str
    errors: Sequence[Mapping[str, str]]
    query: str
    """The experiment in its shortest form."""
    experiment: Experiment | None
    answer: Any
    picture: Any

    @property
    def lab(self) -> str:
        """The same experiment in the Lab."""
        return f"/?{self.query}" if self.query else "/"

    @property
    def twin(self) -> str:
        """The JSON route with the same content."""
        return f"/api/v1{self.view.path}" + (f"?{self.query}" if self.query else "")


def why_router(view: View) -> APIRouter:
    """The route of ``view``; its template is ``pages/why/<slug>.html``."""
    router = APIRouter(include_in_schema=False)

    @router.get(view.path, response_class=HTMLResponse, name=f"why_{view.slug}")
    async def page(request: Request) -> Response:
        pairs = request.query_params.multi_items()
        limits: Limits = request.app.state.settings.limits
        analysis = ANALYSES[view.slug]
        experiment, answer, picture = None, None, None
        errors: list[dict[str, str]] = []
        status = 200
        try:
            experiment = Experiment.from_strings(pairs)
            limits.check(analysis.cost(experiment))
            if request.state.head:
                return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
            known = experiment
            answer, picture = await while_connected(
                request,
                request.app.state.compute.run(
                    lambda stop: (
                        found := analysis.run(known, should_stop=stop),
                        view.picture(found),
                    )
                ),
            )
        except InvalidParameters as error:
            errors = [{"field": e["field"], "message": e["message"]} for e in error.errors]
            status = 422
        except AnalysisUndefined as error:
            errors, status = [{"field": error.field, "message": str(error)}], 422
        except OverLimit as error:
            errors, status = [{"field": "", "message": str(error)}], 422
        except Problem as problem:
            errors, status = [{"field": "", "message": str(problem)}], problem.status
        shown = _page(view, pairs, experiment, errors, answer, picture)
        return await render(request, f"pages/why/{view.slug}.html", shown, status)

    return router


def _page(
    view: View,
    pairs: Sequence[tuple[str, str]],
    experiment: Experiment | None,
    errors: Sequence[Mapping[str, str]],
    answer: Any,
    picture: Any,
) -> WhyPage:
    beside: dict[str, str] = {}
    for error in errors:
        beside.setdefault(error["field"], error["message"])
    all_controls = experiment_controls(dict(pairs), beside)
    more = [c for c in all_controls.values() if c.name not in view.first]
    general = [
        f"{e['field']}: {e['message']}" if e["field"] else e["message"]
        for e in errors
        if e["field"] not in Experiment.model_fields
    ]
    return WhyPage(
        view=view,
        first=[all_controls[name] for name in view.first],
        more=more,
        open_more=any(c.error or c.value != c.default for c in more),
        refusal="; ".join(general[:3]),
        errors=errors,
        query=urlencode(experiment.to_query()) if experiment else "",
        experiment=experiment,
        answer=answer,
        picture=picture,
    )
