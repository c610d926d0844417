"""One block under the glass: its tensors as pictures, their figures, the gradient's rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from torch import Tensor

from layerscope.app.figures.bars import Bars, bars
from layerscope.app.figures.tensors import Drawn, drawn
from layerscope.app.figures.text import number, whole
from layerscope.app.pages.lab.blocks import Side, blocks
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.execution.layer_tensors import tensors_of_layers
from layerscope.engine.execution.network import LayerInfo, Network, layout
from layerscope.engine.execution.provenance import ailments
from layerscope.engine.execution.recording import record_all
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics, statistics

__all__ = ["FIGURES", "Inspected", "Picture", "inspect"]

FIGURES = (
    "entries", "finite", "mean", "std", "rms", "min", "max", "zeros", "subnormal", "NaN", "+Inf",
    "−Inf",
)  # fmt: skip
"""The columns of the table."""
OUTER = {"activation": "activation", "activation.grad": "its gradient"}
LINEAR = {"weight": "weight", "weight.grad": "weight gradient"}
"""What is shown of the layer that stands for the block, and of its linear map."""
HUES = {"activation": "forward", "weight": "parameter"}
"""Tokens of css/tokens.css: everything else comes back."""

TENSORS = {"activation": "its output", "gradient": "the gradient by its output",
           "weight.grad": "its weight gradient", "bias.grad": "its bias gradient"}  # fmt: skip
AILING = {"NaN": "becomes NaN", "Inf": "becomes infinite", "0": "is all zero"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A tensor as it is ``drawn``, and all that is known of it."""

    drawn: Drawn
    bars: Bars
    npy: str
    filename: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspected:
    """Block ``block`` of ``last``; ``rules`` are its layers with their gradients, last to first.

    ``shown`` is the query of it, as ``static/js/lab/inspector.js`` writes it."""

    shown: str
    block: int
    last: int
    kinds: str
    name: str
    side: str
    pictures: Sequence[Picture]
    rules: Sequence[tuple[str, str]]
    causes: Sequence[tuple[str, str]]
    """What made its NaN, infinities and all-zero tensors, by the tensor where that was."""


def inspect(
    experiment: Experiment, place: int, side: Side, npy: str, should_stop: ShouldStop
) -> Inspected:
    """What is shown of the block at ``place``, from 1, seen from a ``side`` of φ; exact entries are
    at the address ``npy``."""
    layers = layout(experiment)
    every = blocks(layers)
    block = every[place - 1]
    outer, linear = layers[block.at(side)], layers[block.linear]
    within = [info for info in layers if info.block == linear.block]
    shown = [(info, name, title) for info, names in ((outer, OUTER), (linear, LINEAR))
             for name, title in names.items()]  # fmt: skip
    wanted: dict[int, list[str]] = {}
    for info, name, _ in shown:
        wanted.setdefault(info.index, []).append(name)
    found = tensors_of_layers(experiment, wanted, should_stop=should_stop)
    pictures = [
        _picture(experiment, info, name, title, tensor, npy)
        for info, name, title in shown
        if (tensor := found[info.index][name]) is not None
    ]
    return Inspected(
        urlencode({**experiment.to_query(), "block": place, "side": side}),
        place,
        len(every),
        " + ".join(info.kind for info in within),
        outer.name,
        side,
        pictures,
        [(info.name, info.layer.gradient_formula) for info in reversed(within)],
        _causes(experiment, within[0].index, block.after, found, should_stop),
    )


def _causes(
    experiment: Experiment,
    first: int,
    last: int,
    found: Mapping[int, Mapping[str, Tensor | None]],
    should_stop: ShouldStop,
) -> list[tuple[str, str]]:
    """Of the layers ``first`` to ``last``; the network is run once more only where one ails."""
    tensors = [t for named in found.values() for t in named.values() if t is not None]
    if not any(ailments(statistics(tensor)) for tensor in tensors):
        return []
    records, _ = record_all(Network(experiment), should_stop)
    return [
        (f"{record.facts.name}: {TENSORS.get(cause.tensor, cause.tensor)} {AILING[cause.ailment]}",
         cause.said)
        for record in records[first : last + 1]
        for cause in record.causes
    ]  # fmt: skip


def _picture(
    experiment: Experiment, info: LayerInfo, name: str, title: str, tensor: Tensor, npy: str
) -> Picture:
    s = statistics(tensor)
    query = {**experiment.to_query(), "layer": info.index, "tensor": name, "format": "npy"}
    return Picture(
        drawn=drawn(title, info.name, tensor, s, HUES.get(name, "backward")),
        bars=bars(s.histogram),
        npy=f"{npy}?{urlencode(query)}",
        filename=f"{info.name}-{title.replace(' ', '-')}.npy",
        figures=_figures(s),
    )


def _figures(s: Statistics) -> tuple[str, ...]:
    moments = (number(v) for v in (s.mean, s.std, s.rms, s.min, s.max))
    counts = (whole(v) for v in (s.zeros, s.subnormal, s.nan, s.posinf, s.neginf))
    return (whole(s.count), whole(s.finite), *moments, *counts)
