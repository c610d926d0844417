"""Pictures of a module's tensors at a step of a training of ours, which is computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from layerscope.app.compute import Compute, while_connected
from layerscope.app.errors import Problem
from layerscope.app.figures.tensors import Drawn, drawn
from layerscope.app.figures.text import shown, whole
from layerscope.app.recorded import LAST_STEP, RunId, Stored, asked, from_store
from layerscope.app.recorded import whole as whole_number
from layerscope.app.results import is_quick
from layerscope.app.templating import templates
from layerscope.app.trainings import Leading, Trainings
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.execution.cost import Cost, Limits, OverLimit
from layerscope.engine.probe.series import recorded
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.store import Store
from layerscope.engine.training.again import Kept, again_cost, start_of, tensors_again
from layerscope.engine.training.folder import TrainingFolder

__all__ = ["TensorsView", "router"]

router = APIRouter(include_in_schema=False)
FRESH = {"Cache-Control": "no-store"}
HUES = {Quantity.ACTIVATION: "forward", Quantity.VALUE: "parameter"}
"""As the Lab has them: everything else comes back."""
TITLES = {
    Quantity.ACTIVATION: "output", Quantity.GRADIENT: "∂L/∂output", Quantity.VALUE: "{}",
    Quantity.PARAMETER_GRADIENT: "{} gradient",
}  # fmt: skip
"""Of a layer's tensors, with the parameter's name, in the order in which they are shown."""
OFFERED = 4
"""Checkpoints that a refusal names."""


@dataclass(frozen=True, slots=True)
class TensorsView:
    """What the template receives as ``view``; ``words`` say how they were found, and whether
    their figures are those that were recorded."""

    pictures: Sequence[Drawn]
    words: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a worker is to compute; ``step`` is the recorded one, as it was written."""

    folder: TrainingFolder
    module: str
    number: int
    step: bytes
    cost: Cost


@router.get("/runs/{run}/tensors", response_class=HTMLResponse, name="run_tensors")
async def run_tensors(
    request: Request, run: RunId, store: Stored, trainings: Leading
) -> Response:  # fmt: skip
    """Those of ``module`` at the recorded step nearest to ``step``, by default the last, for htmx;
    or why there are none."""
    limits: Limits = request.app.state.settings.limits
    compute: Compute = request.app.state.compute
    try:
        given = asked(request, ("module", "step"))
        step = whole_number(given, "step", 0, LAST_STEP)
        module = given.get("module", [""])[-1]
        plan = await from_store(partial(_plan, store, trainings, limits, run, module, step))
        if request.state.head:
            return HTMLResponse(headers=FRESH)
        quick = is_quick(plan.cost.flops)
        html = await while_connected(request, compute.run(partial(_pictured, plan), quick=quick))
    except (OverLimit, Problem) as refusal:
        status, headers = 422, FRESH
        if isinstance(refusal, Problem):
            status, headers = refusal.status, {**FRESH, **refusal.headers}
        told = templates.env.get_template("partials/runs/no_tensors.html").render(why=str(refusal))
        return HTMLResponse(told, status, headers)
    return HTMLResponse(html, headers=FRESH)


def _plan(
    store: Store, trainings: Trainings, limits: Limits, run: str, module: str, number: int | None
) -> _Plan:
    """In a thread that may ask the store and read files.

    Errors: ``OverLimit``; ``Problem`` for a run that is none of ours, a module or a step that there
    is not.
    """
    facts = store.facts(run)
    ours, folder = trainings.ours(run), trainings.folder(run)
    if ours is None or not _readable(folder):
        raise Problem(409, "Of this run figures were recorded, not tensors: only a training "
                      "of this server can be computed anew.", kind="not-ours",
                      title="Not a training of this server")  # fmt: skip
    if module not in {f.name for f in facts}:
        raise Problem(404, f"Run {run} has no module {module!r}.", kind="no-such-module",
                      title="No such module")  # fmt: skip
    stored = store.nearest(run, LAST_STEP if number is None else number)
    step = None if stored is None else recorded(stored)
    if stored is None or step is None:
        raise Problem(404, "No step has been recorded yet.", kind="no-such-step",
                      title="No such step")  # fmt: skip
    start = start_of(folder, step.number)
    needed = again_cost(ours.experiment, ours.training, step.number - start)
    if not limits.allow(needed):
        raise _over(limits, needed, step.number, start, folder.checkpoints())
    return _Plan(folder, module, step.number, stored.payload or b"", needed)


def _readable(folder: TrainingFolder) -> bool:
    """Whether what was changed by hand on the way is known."""
    try:
        folder.changes()
    except (OSError, ValueError, TypeError):
        return False
    return True


def _over(
    limits: Limits, needed: Cost, step: int, start: int, checkpoints: Sequence[int]
) -> OverLimit:
    near = sorted(sorted(checkpoints, key=lambda kept: abs(kept - step))[:OFFERED])
    named = ", ".join(whole(kept + 1) for kept in near)
    by_time = needed.flops > limits.flops
    return OverLimit(
        "floating point operations" if by_time else "bytes of memory",
        limits.flops if by_time else limits.bytes,
        needed.flops if by_time else needed.bytes,
        what=f"computing step {whole(step)} anew, {_way(start, step)},",
        instead=f"a step soon after a checkpoint, as {named} are" if named and by_time
        else "a smaller network",
    )  # fmt: skip


def _way(start: int, step: int) -> str:
    steps = "1 step" if step - start == 1 else f"{whole(step - start)} steps"
    where = f"the checkpoint after step {whole(start)}" if start else "the beginning"
    return f"{steps} from {where}"


def _pictured(plan: _Plan, should_stop: ShouldStop) -> str:
    """In a worker."""
    again = tensors_again(plan.folder, plan.number, plan.module, should_stop=should_stop)
    words = f"Computed anew, {_way(again.start, plan.number)}. "
    words += _compared(again.tensors, Step.from_bytes(plan.step), again.index)
    chosen = [k for k in again.tensors if not k.parameter or k.tensor.dim() > 1]
    if not any(k.parameter for k in chosen):  # vectors, where there is no matrix
        chosen = again.tensors
    order = list(TITLES)
    chosen = sorted(chosen, key=lambda k: (bool(k.parameter), k.place, order.index(k.quantity)))
    view = TensorsView([_drawn(k, plan.module) for k in chosen], words)
    return templates.env.get_template("partials/runs/tensors.html").render(view=view)


def _drawn(kept: Kept, module: str) -> Drawn:
    title = TITLES[kept.quantity].format(kept.parameter)
    return drawn(title, module, kept.tensor, kept.statistics, HUES.get(kept.quantity, "backward"))


def _compared(tensors: Sequence[Kept], step: Step, index: int) -> str:
    """Whether their figures are those that were recorded."""
    known = [(k, s) for k in tensors if (s := step.of(index, k.quantity, k.place)) is not None]
    if not known:
        return "Of this module no figures were recorded to hold them against."
    other = [(k, s) for k, s in known if k.statistics.to_bytes() != s.to_bytes()]
    if not other:
        return "Their figures are the recorded ones, to the last bit."
    told = "; ".join(
        f"{TITLES[k.quantity].format(k.parameter)} std {shown(k.statistics.std)}, "
        f"recorded {shown(s.std)}" for k, s in other
    )  # fmt: skip
    return f"Of {len(other)} the figures are not those that were recorded: {told}."
