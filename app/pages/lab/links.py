"""Where the Lab leads: the notes' experiments, and the other pages about the same experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request

from layerscope.app.compute import Compute
from layerscope.app.errors import Problem
from layerscope.app.figures.sketch import Sketch, sketch
from layerscope.app.pages.render import address
from layerscope.app.pages.why import VIEWS
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.diagnosis.run import Forward, run
from layerscope.engine.experiment.presets import PRESETS
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics

__all__ = ["Dare", "Elsewhere", "PresetLink", "dares", "elsewhere", "preset_links", "sketches"]


@dataclass(frozen=True, slots=True)
class PresetLink:
    """One of the notes' experiments, with a sketch of its curve that the engine itself made."""

    title: str
    note: str
    href: str
    current: bool
    sketch: Sketch


_known: dict[str, Sketch] = {}


async def sketches(compute: Compute) -> dict[str, Sketch]:
    """The std by block of every preset; computed by whoever asks first."""
    if not _known:
        _known.update(await compute.run(_sketches, quick=True))
    return _known


def _sketches(_: ShouldStop) -> dict[str, Sketch]:
    return {preset.name: sketch(_curve(preset.experiment)) for preset in PRESETS}


def _curve(experiment: Experiment) -> list[Statistics]:
    """The activations that the blocks hand on; the forward pass only."""
    curve = []
    for event in run(experiment):
        if isinstance(event, Forward) and event.info.ends_block:
            curve.append(event.record.activation)
            if event.info.block > experiment.depth:
                break
    return curve


async def preset_links(request: Request, current: Experiment | None) -> list[PresetLink]:
    """Every preset at the Lab's address, in the notes' order; the ``current`` one is marked."""
    try:
        drawn = await sketches(request.app.state.compute)
    except Problem:  # no place for them: the page says of something else that it is too much
        drawn = {}
    return [
        PresetLink(
            preset.title,
            preset.note,
            address(request, "lab", urlencode(preset.experiment.to_query())),
            preset.experiment == current,
            drawn.get(preset.name, Sketch("", None)),
        )
        for preset in PRESETS
    ]


@dataclass(frozen=True, slots=True)
class Dare:
    """One click to see a network fail, and one to see it hold."""

    title: str
    note: str
    href: str


DARES = (
    ("Break it", "randn", "Plain randn weights through fifty layers: the signal overflows"),
    ("Repair it", "kaiming", "Weights scaled by √(2/n): the same fifty layers hold"),
)


def dares(request: Request) -> list[Dare]:
    """What a first visit is invited to."""
    experiments = {preset.name: preset.experiment for preset in PRESETS}
    return [
        Dare(title, note, address(request, "lab", urlencode(experiments[name].to_query())))
        for title, name, note in DARES
    ]


TRAIN = ("Train this", "Train this very network, and watch every layer while it learns")
AROUND = "Map", "The land around this experiment: init scale × depth, any two parameters"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Labels, titles and addresses of pages that look at the experiment of ``query``; ``rules`` is
    the one that explains the diagnosis'."""

    query: str
    links: Sequence[tuple[str, str, str]]
    rules: str


def elsewhere(request: Request, experiment: Experiment | None) -> Elsewhere:
    """The pages that look at this very experiment."""
    query = urlencode(experiment.to_query()) if experiment else ""
    links = [(*view.link, address(request, view.route, query)) for view in VIEWS if view.link]
    links.append((*TRAIN, address(request, "train", query)))
    links.append((*AROUND, address(request, "maps", _around(experiment))))
    return Elsewhere(query, links, address(request, "why_diagnosis"))


def _around(experiment: Experiment | None) -> str:
    """The query of a map with the experiment in its middle."""
    if experiment is None:
        return ""
    e, scale = experiment, experiment.init_scale or 1.0
    ends = {
        "x_from": f"{scale / 2:g}", "x_to": f"{min(100.0, 2 * scale):g}",
        "y_from": str(max(1, e.depth // 5)), "y_to": str(min(1000, 2 * e.depth)),
    }  # fmt: skip
    return urlencode({**ends, **e.to_query()})
