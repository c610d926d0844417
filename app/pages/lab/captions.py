"""The words beside the charts: what each shows, why one is empty, what theory forecasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from layerscope.app.figures import cell_words, number
from layerscope.app.pages.lab.blocks import SIDES, Block, Side
from layerscope.app.pages.lab.forecast import Direction, told
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics
from layerscope.engine.theory import Prediction

__all__ = ["ChartWords", "Words", "chart_words", "readouts"]

Tensors = Sequence[Statistics | None]
Read = Callable[[Record], Statistics | None]


@dataclass(frozen=True, slots=True)
class Words:
    """``side`` and ``tensor`` are the choice that they are for; empty where it does not matter."""

    text: str
    side: str = ""
    tensor: str = ""


@dataclass(frozen=True, slots=True)
class ChartWords:
    """Of the chart called ``name``: a sentence for those who don't see it, and what stands in it.

    ``forecast`` is a short and a long form of theory's, None where the chart has no room for it.
    """

    name: str
    described: Sequence[Words]
    empty: Sequence[Words] = ()
    forecast: tuple[str, str] | None = None


def chart_words(
    experiment: Experiment,
    blocks: Sequence[Block],
    records: Sequence[Record],
    theory: Prediction,
) -> list[ChartWords]:
    """Of all four, once every record is there."""

    def at(read: Read, side: Side) -> Tensors:
        return [read(records[block.at(side)]) for block in blocks]

    def by_side(name: str, read: Read, direction: Direction) -> ChartWords:
        tensors = {side: at(read, side) for side in SIDES}
        shown = f"Standard deviation of the {name} by layer"
        return ChartWords(
            name,
            [Words(f"{shown}: {_range(of)}.", side) for side, of in tensors.items()],
            [Words(_nothing(of, name[:-1]), side) for side, of in tensors.items()],
            told(theory, experiment.dtype, direction),
        )

    activations = by_side("activations", lambda record: record.activation, "forward")
    gradients = by_side("gradients", lambda record: record.gradient, "backward")
    weights = [records[block.linear].parameters["weight"].value for block in blocks]
    units = [records[block.after].units for block in blocks]
    dead = [u.dead / u.width for u in units if u and u.width]
    most = f"{number(100 * max(dead, default=0.0))} %"
    return [
        activations,
        gradients,
        ChartWords(
            "magnitudes",
            [
                Words(f"Share of the {name} per power of two by layer.", tensor=name)
                for name in ("activations", "gradients", "weights")
            ],
            [
                *(replace(words, tensor=chart.name)
                  for chart in (activations, gradients) for words in chart.empty),
                Words(_nothing(weights, "weight"), tensor="weights"),
            ],
        ),
        ChartWords(
            "silent",
            [Words(f"Units that are zero for every sample: at most {most} of a layer.")],
        ),
    ]  # fmt: skip


def _range(tensors: Tensors) -> str:
    values = [s.std if s else None for s in tensors]
    known = [v for v in values if v is not None]
    if not known:
        return "not finite in any layer"
    ends = f"{number(values[0])} at layer 1, {number(values[-1])} at layer {len(values)}"
    return f"from {number(min(known))} to {number(max(known))}, {ends}"


def _nothing(tensors: Tensors, noun: str) -> str:
    """Why there is nothing to draw, should there be nothing."""
    if all(s and s.zeros == s.count for s in tensors):
        return f"every {noun} is exactly zero, in all {len(tensors)} layers"
    return f"no finite, nonzero {noun} in any layer"


def readouts(blocks: Sequence[Block], records: Sequence[Record]) -> list[tuple[str, str]]:
    """The figures of every cell pair of the strip, after φ and before it."""
    return [
        (_readout(place, records[block.after]), _readout(place, records[block.before]))
        for place, block in enumerate(blocks, 1)
    ]


def _readout(block: int, record: Record) -> str:
    gradient = record.gradient
    back = cell_words(gradient) if gradient else "not computed yet"
    there = cell_words(record.activation)
    return f"Layer {block} {record.facts.kind}: activation {there}; gradient {back}"
