"""Training one of our own networks: the form, presets, and the bar that leads it on its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from layerscope.app.errors import Problem
from layerscope.app.forms import Control, Form, controls, posted
from layerscope.app.pages.render import Page, address, context, environment, in_part, render
from layerscope.app.recorded import WHOLE, RunId, from_store
from layerscope.app.trainings import Leading, Trainings, name_of
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.basis.specification import text_of
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.experiment import Experiment
from layerscope.engine.training import Training
from layerscope.engine.training.presets import TRAINING_PRESETS

__all__ = ["PAGE", "Bar", "PresetLink", "TrainPage", "bar_of"]

router = APIRouter(include_in_schema=False)
FEWEST_FIELDS = {"steps", "optimizer", "learning_rate", "schedule"}
"""What is always in sight; the rest is behind a switch."""


@dataclass(frozen=True, slots=True)
class PresetLink:
    """A preset at its address."""

    title: str
    note: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class TrainPage:
    """What the template receives."""

    presets: Sequence[PresetLink]
    network: str
    parameters: Sequence[tuple[str, str]]
    """Of the experiment, those that differ from their defaults, as a form sends them."""
    lab: str
    controls: Sequence[Control]
    more: Sequence[Control]
    open: bool
    refusal: str
    none: bool
    """Whether this server trains nothing."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What can be wanted of a training on its page."""

    run: str
    words: str
    live: bool
    paused: bool
    left: bool
    rate: str
    step: str
    lab: str
    again: str
    problem: str = ""


@router.get("/train", response_class=HTMLResponse, name="train")
async def train(request: Request, trainings: Leading) -> Response:
    """The experiment and the training of the query, to be begun."""
    if request.state.head:
        return HTMLResponse(headers={"Cache-Control": "private, no-cache"})
    page = _page(request, trainings, request.query_params.multi_items())
    return await render(request, "pages/runs/train.html", page, 422 if page.refusal else 200)


@router.post("/train", name="begin")
async def begin(request: Request, trainings: Leading) -> Response:
    """From the form: to the page of the run that has begun."""
    pairs = await posted(request)
    experiment, training = _forms(pairs)
    try:
        run = await trainings.begin(experiment.valid(), training.valid())
    except (InvalidParameters, OverLimit) as refusal:
        page = _page(request, trainings, pairs, "" if isinstance(refusal, InvalidParameters)
                     else str(refusal))  # fmt: skip
        return await render(request, "pages/runs/train.html", page, 422)
    except Problem as problem:
        page = _page(request, trainings, pairs, str(problem.document["detail"]))
        return await render(request, "pages/runs/train.html", page, problem.status)
    return RedirectResponse(address(request, "run_page", run=run), 303)


def _forms(pairs: Sequence[tuple[str, str]]) -> tuple[Form[Experiment], Form[Training]]:
    """The two halves of one query: no name is in both."""
    training = [p for p in pairs if p[0] in Training.model_fields]
    experiment = [p for p in pairs if p[0] not in Training.model_fields]
    return Form.read(Experiment, experiment), Form.read(Training, training)


def _page(
    request: Request, trainings: Trainings, pairs: Sequence[tuple[str, str]], refusal: str = ""
) -> TrainPage:
    experiment, training = _forms(pairs)
    shown = controls(Training, training.typed, training.messages)
    few = [c for c in shown.values() if c.name in FEWEST_FIELDS]
    more = [c for c in shown.values() if c.name not in FEWEST_FIELDS]
    wrong = "; ".join(f"{e['field']}: {e['message']}" for e in experiment.errors[:3])
    general = "; ".join(filter(None, (refusal, wrong, training.refusal)))
    parameters = [
        (name, text) for name, text in experiment.typed.items()
        if text != Form.read(Experiment, ()).typed[name]
    ]  # fmt: skip
    both = experiment.value, training.value
    return TrainPage(
        presets=[
            PresetLink(p.title, p.note, address(request, "train", _query(p.experiment, p.training)),
                       both == (p.experiment, p.training))
            for p in TRAINING_PRESETS
        ],
        network="" if experiment.value is None else _network(experiment.value),
        parameters=parameters,
        lab=address(request, "lab", experiment.query()),
        controls=few,
        more=more,
        open=any(c.value != c.default or c.error for c in more),
        refusal=general,
        none=trainings.most == 0,
    )  # fmt: skip


def _query(experiment: Experiment, training: Training) -> str:
    return urlencode({**experiment.to_query(), **training.to_query()})


def _network(e: Experiment) -> str:
    """The experiment in a line."""
    words = f"{e.depth} blocks of {e.width} {e.phi} units, {e.init}"
    if e.init_scale != 1:
        words += f" × {e.init_scale:g}"
    if e.norm != "none":
        words += f", {e.norm} norm"
    if e.residual:
        words += ", residual"
    return f"{words}; {e.data}, {e.loss}, batch {e.batch}, {e.dtype}"


def bar_of(request: Request, trainings: Trainings, run: str, problem: str = "") -> Bar | None:
    """The bar of a training of ours; None for any other run. Reads files and the store."""
    ours = trainings.ours(run)
    if ours is None:
        return None
    found = trainings.run(run)
    last = found.last_step or 0
    live = found.state == "running"
    query = _query(ours.experiment, ours.training)
    return Bar(
        run=run,
        words=f"{name_of(ours.experiment, ours.training)}, {ours.training.steps} steps",
        live=live,
        paused=live and ours.wish.paused,
        left=last < ours.training.steps,
        rate=text_of(ours.training.learning_rate if ours.wish.rate is None else ours.wish.rate),
        step=str(last or 1),
        lab=address(request, "lab", urlencode(ours.experiment.to_query())),
        again=address(request, "train", query),
        problem=problem,
    )


@router.post("/runs/{run}/lead", name="lead")
async def lead(request: Request, run: RunId, trainings: Leading) -> Response:
    """A button of the bar: the bar anew for htmx, the page for a browser without scripts; after
    `rewind` the new run's page."""
    given = dict(await posted(request))
    problem, to = "", run
    try:
        to = await _lead(trainings, run, given)
    except InvalidParameters as invalid:
        problem = "; ".join(f"{e['field']}: {e['message']}" for e in invalid.errors)
    except Problem as told:
        if told.status == 404:
            raise
        problem = str(told.document["detail"])
    there = address(request, "run_page", run=to)
    if not in_part(request):
        return RedirectResponse(there, 303)
    if to != run:
        return Response(headers={"HX-Redirect": there, "Cache-Control": "no-store"})
    bar = await from_store(lambda: bar_of(request, trainings, run, problem))
    template = environment.get_template("partials/runs/bar.html")
    html = await template.render_async({**context(request, None), "bar": bar})
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


async def _lead(trainings: Trainings, run: str, given: dict[str, str]) -> str:
    match given.get("do", ""):
        case "pause":
            await trainings.wish(run, paused=True)
        case "resume":
            await trainings.resume(run)
        case "step":
            await trainings.step(run)
        case "stop":
            await trainings.wish(run, stopped=True)
        case "rate":
            typed = [("learning_rate", given.get("learning_rate", ""))]
            await trainings.wish(run, rate=Training.from_strings(typed).learning_rate)
        case "rewind":
            step = given.get("step", "").strip()
            if not WHOLE.fullmatch(step):
                raise Problem(422, "Expected the number of a recorded step.", kind="invalid")
            return await trainings.rewind(run, int(step))
        case other:
            raise Problem(422, f"do: expected pause, resume, step, stop, rate or rewind, got "
                          f"{other[:40]!r}", kind="invalid")  # fmt: skip
    return run


PAGE = Page("/train", "Train", "Runs", router, of_experiment=True)
