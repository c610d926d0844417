"""One module of a run: its quantities over the steps as small plots, its tensors at one step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.plot import Mark, Plot, Series, plot
from layerscope.app.figures.runs import DISPLAYS
from layerscope.app.figures.text import shown, whole
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.series import column, outlined, recorded
from layerscope.engine.probe.spread import OUTPUT, tensors_of
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.statistics import Statistics
from layerscope.engine.store import Store

__all__ = ["Chart", "ModuleView", "Tensor", "module_view"]

POINTS = 160
CSS = {"gradient_std": "backward", "weight_gradient_norm": "backward"}
OF_THE_MODULE = (Quantity.INPUT, Quantity.ACTIVATION, Quantity.GRADIENT)
"""The rest are its parameters'."""
NAMES = {
    Quantity.INPUT: "input",
    Quantity.ACTIVATION: "output",
    Quantity.GRADIENT: "∂L/∂output",
    Quantity.VALUE: "value",
    Quantity.PARAMETER_GRADIENT: "gradient, as the optimiser saw it",
    Quantity.UNCLIPPED: "gradient, before clipping",
    Quantity.UPDATE: "update Δw",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A quantity over the steps; ``log``: by powers of ten."""

    name: str
    title: str
    last: str
    plot: Plot
    log: bool


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's figures at the step."""

    name: str
    figures: Sequence[str]
    faults: str


@dataclass(frozen=True, slots=True)
class ModuleView:
    """What the template receives as ``module``."""

    run: str
    name: str
    kind: str
    shape: str
    step: int | None
    charts: Sequence[Chart]
    tensors: Sequence[Tensor]
    spreads: Sequence[tuple[str, str]]
    """Tensors whose histograms were recorded at the step, by name, with a title."""
    spread: str
    """Which of them is shown."""
    module: str
    """Its qualified name; '' is the model itself."""
    before: str | None
    after: str | None
    ours: bool
    """Whether its tensors can be computed anew."""


def module_view(
    store: Store, run: str, facts: Sequence[Facts], chosen: Facts, step: int | None,
    tensor: str | None = None, *, ours: bool = False,
) -> ModuleView:  # fmt: skip
    """The module at the recorded step nearest to ``step``, by default the last; its output's
    histograms where it has none of the ``tensor``. ``ours``: of a training of this server."""
    steps = store.steps(run, points=POINTS)
    read = [outlined(each) for each in steps]
    last = next((each for each, known in zip(steps[::-1], read[::-1], strict=True) if known), None)
    found = last if step is None else store.nearest(run, step)
    at = None if found is None else recorded(found)
    place = [f.index for f in facts].index(chosen.index)
    names = [f.name for f in facts]
    spreads = {} if at is None else _spreads(at, chosen)
    return ModuleView(
        run=run,
        name=chosen.name or "the whole",
        kind=chosen.kind,
        shape=" × ".join(map(str, chosen.shape)) or "–",
        step=None if at is None else at.number,
        charts=_charts([s for s in read if s], chosen, at),
        tensors=[] if at is None else _tensors(at, chosen),
        spreads=list(spreads.items()),
        spread=tensor if tensor in spreads else next(iter(spreads), OUTPUT),
        module=chosen.name,
        before=names[place - 1] if place else None,
        after=names[place + 1] if place + 1 < len(names) else None,
        ours=ours,
    )


def _charts(read: Sequence[Glance], chosen: Facts, at: Step | None) -> list[Chart]:
    if len(read) < 2:
        return []
    steps = [step.number for step in read]
    charts = []
    for name, display in DISPLAYS.items():
        values = [column(name, step, [chosen])[0] for step in read]
        log = display.log
        y = [_log(v) if log else v for v in values]
        known = [v for v in y if v is not None]
        if not known or (name == "nonfinite" and not any(known)):
            continue
        last = next(v for v in reversed(values) if v is not None) if any(
            v is not None for v in values) else None  # fmt: skip
        marks = []
        if at is not None:
            now = column(name, at, [chosen])[0]
            height = _log(now) if log else now
            if height is not None:
                marks = [Mark(at.number, height, "", CSS.get(name, "forward"))]
        drawn = plot(steps, [Series(name, CSS.get(name, "forward"), y)], marks, width=300,
                     height=120)  # fmt: skip
        charts.append(Chart(name, display.title, shown(last), drawn, log))
    return charts


def _log(value: float | None) -> float | None:
    return math.log10(abs(value)) if value and math.isfinite(value) else None


def _spreads(step: Step, chosen: Facts) -> dict[str, str]:
    own = {(s.quantity, s.parameter) for s in step.slots if s.module == chosen.index}
    return {
        name: _title(chosen, quantity, place)
        for name, (quantity, place) in tensors_of(chosen).items()
        if (quantity, place) in own
    }


def _tensors(step: Step, chosen: Facts) -> list[Tensor]:
    found = [
        (slot.quantity, slot.parameter, s)
        for slot, s in zip(step.slots, step.statistics, strict=True)
        if slot.module == chosen.index
    ]
    order = list(NAMES)
    found.sort(key=lambda f: (f[1], order.index(f[0])))
    return [_tensor(_title(chosen, quantity, place), s) for quantity, place, s in found]


def _title(chosen: Facts, quantity: Quantity, parameter: int) -> str:
    if quantity in OF_THE_MODULE:
        return NAMES[quantity]
    names = list(chosen.parameters) if isinstance(chosen, ModuleFacts) else []
    own = names[parameter] if parameter < len(names) else f"parameter {parameter + 1}"
    return f"{own}: {NAMES[quantity]}"


def _tensor(name: str, s: Statistics) -> Tensor:
    faults = [f"{whole(count)} {what}" for what, count in
              (("NaN", s.nan), ("+Inf", s.posinf), ("−Inf", s.neginf)) if count]  # fmt: skip
    return Tensor(
        name,
        (whole(s.count), shown(s.mean), shown(s.std), shown(s.min), shown(s.max),
         whole(s.zeros)),
        ", ".join(faults),
    )  # fmt: skip
