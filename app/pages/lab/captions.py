"""The Lab's charts and figures in words: frames, what each chart shows, every layer as a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from layerscope.app.figures.strip import cell_words
from layerscope.app.figures.text import number
from layerscope.app.pages.lab.blocks import SIDES, Block
from layerscope.app.pages.lab.drawing import norm
from layerscope.app.pages.lab.forecast import Direction, told
from layerscope.engine.execution.network import LayerInfo
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics
from layerscope.engine.theory import Prediction

__all__ = [
    "FRAMES", "ChartWords", "Frame", "TableRow", "Tabs", "Words", "chart_words", "intro",
    "readouts", "table",
]  # fmt: skip

Tensors = Sequence[Statistics | None]
Read = Callable[[Record], Statistics | None]


@dataclass(frozen=True, slots=True)
class Words:
    """``side``, ``tensor`` and ``of`` are the choice that they are for; empty where it does not
    matter."""

    text: str
    side: str = ""
    tensor: str = ""
    of: str = ""


@dataclass(frozen=True, slots=True)
class ChartWords:
    """Of the chart called ``name``: a sentence for those who don't see it, and what stands in it.

    ``forecast`` is a short and a long form of theory's, None where the chart has no room for it.
    """

    name: str
    described: Sequence[Words]
    empty: Sequence[Words] = ()
    forecast: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Tabs:
    """A choice in a chart's header: (value, text) pairs."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """A chart's heading; ``name`` is that of its form and of its words."""

    name: str
    title: str
    note: str
    tabs: Tabs | None = None

    @property
    def unknown(self) -> ChartWords:
        """The words where there is no result."""
        return ChartWords(self.name, (), (Words("nothing was run"),))


TENSORS = ("activations", "gradients", "weights")
SIDE = Tabs(
    "side", "Which side of the activation function", (("after", "after φ"), ("before", "before φ"))
)
TENSOR = Tabs("tensor", "Which tensors", tuple((name, name) for name in TENSORS))
OF = Tabs("of", "Gradients by what", (("outputs", "by outputs"), ("weights", "by weights")))
FRAMES = (
    Frame("activations", "Activations", "how large the signal is", SIDE),
    Frame("gradients", "Gradients", "how large what comes back is", OF),
    Frame("magnitudes", "Magnitudes", "share per power of two", TENSOR),
    Frame("silent", "Silent and saturated", "share of a layer that passes nothing on"),
)


def intro(experiment: Experiment) -> str:
    """The network in a sentence.

    >>> intro(Experiment(depth=1))
    'A network of 1 layer of 100 units: the signal runs to the right, the gradient comes back.'
    """
    e = experiment
    layers = f"{e.depth} layer{'s' * (e.depth > 1)} of {e.width} unit{'s' * (e.width > 1)}"
    return f"A network of {layers}: the signal runs to the right, the gradient comes back."


def chart_words(
    experiment: Experiment, blocks: Sequence[Block], records: Sequence[Record], theory: Prediction
) -> list[ChartWords]:
    """Of all four, once every record is there."""

    def by_side(name: str, read: Read, direction: Direction) -> ChartWords:
        tensors = {side: [read(records[b.at(side)]) for b in blocks] for side in SIDES}
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
    units = [records[block.silent].units for block in blocks]
    dead = [u.dead / u.width for u in units if u and u.width]
    norms = _ends([norm(records[b.linear].parameters["weight"].gradient) for b in blocks])
    weight_norms = Words(f"Norm of the weight gradients by layer: {norms}.")
    shares = [r.saturation for r in records if r.saturation is not None]
    flat = (
        f"of their inputs at most {number(100 * max(shares))} % where {experiment.phi} is flat"
        if shares
        else f"{experiment.phi} is flat nowhere"
    )
    most = f"{number(100 * max(dead, default=0.0))} %"
    return [
        activations,
        replace(gradients, described=[*(replace(w, of="outputs") for w in gradients.described),
                                      replace(weight_norms, of="weights")]),
        ChartWords(
            "magnitudes",
            [
                Words(f"Share of the {name} per power of two by layer.", tensor=name)
                for name in TENSORS
            ],
            [
                *(replace(words, tensor=chart.name)
                  for chart in (activations, gradients) for words in chart.empty),
                Words(_nothing(weights, "weight"), tensor="weights"),
            ],
        ),
        ChartWords(
            "silent",
            [Words(f"Units that are zero for every sample: at most {most} of a layer; {flat}.")],
            [Words(f"{experiment.phi} passes everything on: nothing can fall silent")],
        ),
    ]  # fmt: skip


def _range(tensors: Tensors) -> str:
    values = [s.std if s else None for s in tensors]
    if all(v is None for v in values) and any(s and s.finite for s in tensors):
        return "none, of one number in a layer"
    return _ends(values)


def _ends(values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "not finite in any layer"
    ends = f"{number(values[0])} at layer 1, {number(values[-1])} at layer {len(values)}"
    return f"from {number(min(known))} to {number(max(known))}, {ends}"


def _nothing(tensors: Tensors, noun: str) -> str:
    """Why there is nothing to draw, should there be nothing."""
    if all(s and s.zeros == s.count for s in tensors):
        return f"every {noun} is exactly zero, in all {len(tensors)} layers"
    if any(s and s.rms for s in tensors):
        return f"one {noun} in a layer has no standard deviation"
    return f"no finite, nonzero {noun} in any layer"


def readouts(blocks: Sequence[Block], records: Sequence[Record]) -> list[tuple[str, str]]:
    """The figures of every cell pair of the strip, after φ and before it."""

    def words(place: int, record: Record) -> str:
        there, gradient = cell_words(record.activation), record.gradient
        back = cell_words(gradient) if gradient else "not computed yet"
        return f"Layer {place} {record.facts.kind}: activation {there}; gradient {back}"

    return [
        (words(place, records[block.after]), words(place, records[block.before]))
        for place, block in enumerate(blocks, 1)
    ]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One layer of the table."""

    index: int
    block: int
    name: str
    figures: tuple[str, ...]


def table(layers: Sequence[LayerInfo], records: Sequence[Record]) -> list[TableRow]:
    """The rows in forward order, once every record is there."""
    return [
        TableRow(info.index, info.block, info.name, _figures(record))
        for info, record in zip(layers, records, strict=True)
    ]


def _figures(record: Record) -> tuple[str, ...]:
    s, g, weight = record.activation, record.gradient, record.parameters.get("weight")
    back = number(g.std if g else None), number(norm(weight.gradient)) if weight else ""
    return (number(s.mean), number(s.std), *map(str, (s.zeros, s.nan, s.posinf + s.neginf)), *back)
