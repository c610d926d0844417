"""The neuron: inputs flow through weights into a sum, and the sum through φ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from layerscope.app.figures.plot import Mark, Plot, Series, plot
from layerscope.app.figures.text import number as shown
from layerscope.app.forms import Form
from layerscope.app.foundations.readers import number, numbers
from layerscope.app.foundations.step import Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Specification, Text, parameter
from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.neuron import MAX_INPUTS, Neuron, Term, neuron
from layerscope.engine.layers import ACTIVATIONS

__all__ = ["STEP", "Bar", "Dial", "Edge", "NeuronForm", "NeuronPicture"]

FAR = 1e6
"""Largest magnitude of a number that is typed: further out there is nothing to see."""
Numbers = Annotated[list[float], Text(numbers(-FAR, FAR, MAX_INPUTS), 2000)]


class NeuronForm(Specification):
    """Inputs, weights, bias, activation."""

    inputs: Numbers = parameter(
        "1.0, 2.0, 3.0, 2.5", "Inputs",
        f"The xᵢ, numbers separated by commas; at most {MAX_INPUTS}.",
    )  # fmt: skip
    weights: Numbers = parameter("0.2, 0.8, -0.5, 1.0", "Weights", "The wᵢ, as many as inputs.")
    bias: Annotated[float, Text(number(-FAR, FAR))] = parameter(
        "2.0", "Bias", "b, added once to the sum.", slider=(-5, 5), step=0.1
    )
    activation: str = parameter(
        "relu", "Activation", "φ, what the sum is handed to.",
        options=lambda: {n: {"text": f"{n}  {a.formula}"} for n, a in ACTIVATIONS.items()},
    )  # fmt: skip


def _answer(asked: NeuronForm, _: ShouldStop) -> Neuron:
    try:
        return neuron(asked.inputs, asked.weights, asked.bias, asked.activation)
    except ShapeError as error:
        raise FieldError("weights", str(error)) from None


ROW = 42.0
"""Height of one input, in units of the drawing."""
BAR = 22.0


@dataclass(frozen=True, slots=True)
class Edge:
    """One input and the line that its weight draws."""

    y: float
    width: float
    """Of the line: the weight's magnitude, against the largest."""
    negative: bool
    input: str
    weight: str
    gradient: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One term of the sum, from where the sum was to where it is."""

    name: str
    css: str
    x: float
    width: float
    y: float
    text: str
    text_x: float
    anchor: str
    joint: float
    """Where the next bar starts."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Sliders of one input and its weight, and the links that take it away."""

    index: int
    input: str
    weight: str
    without: str


@dataclass(frozen=True, slots=True)
class NeuronPicture:
    """What the template draws."""

    edges: tuple[Edge, ...]
    height: float
    middle: float
    bars: tuple[Bar, ...]
    bars_height: float
    zero: float
    curve: Plot
    dials: tuple[Dial, ...]
    more: str
    """Query of the same neuron with one more input; empty at the limit."""


def _picture(form: Form[NeuronForm], n: Neuron) -> NeuronPicture:
    bars, zero = _bars(n)
    height = max(len(n.terms), 2) * ROW + 30
    inputs, weights = [_text(t.input) for t in n.terms], [_text(t.weight) for t in n.terms]

    def changed(inputs: list[str], weights: list[str]) -> str:
        typed = {"inputs": ", ".join(inputs), "weights": ", ".join(weights)}
        return form.query(**typed) or urlencode({"inputs": typed["inputs"]})  # never empty

    def without(i: int) -> str:
        return changed(inputs[:i] + inputs[i + 1 :], weights[:i] + weights[i + 1 :])

    return NeuronPicture(
        edges=_edges(n),
        height=height,
        middle=height / 2,
        bars=bars,
        bars_height=len(bars) * BAR + 22,
        zero=zero,
        curve=_curve(n),
        dials=tuple(
            Dial(i, x, w, without(i) if len(inputs) > 1 else "")
            for i, (x, w) in enumerate(zip(inputs, weights, strict=True))
        ),
        more=changed([*inputs, "1.0"], [*weights, "0.5"]) if len(inputs) < MAX_INPUTS else "",
    )


def _text(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e5 else repr(value)


def _edges(n: Neuron) -> tuple[Edge, ...]:
    largest = max((abs(t.weight) for t in n.terms), default=0.0) or 1.0
    top = 15 + ROW / 2 + (ROW / 2 if len(n.terms) == 1 else 0)
    return tuple(
        Edge(
            y=top + t.index * ROW,
            width=round(0.75 + 7 * abs(t.weight) / largest, 2),
            negative=t.weight < 0,
            input=shown(t.input),
            weight=shown(t.weight),
            gradient=shown(gradient),
        )
        for t, gradient in zip(n.terms, n.weight_gradients, strict=True)
    )


def _bars(n: Neuron) -> tuple[tuple[Bar, ...], float]:
    """The running sum as a waterfall: every term, then the bias, then the total from zero."""
    steps = [
        (f"x{_low(t)}·w{_low(t)}", t.running - t.product, t.running, t.product) for t in n.terms
    ]
    steps.append(("b", n.weighted_sum, n.total, n.bias))
    ends = [0.0, *(v for s in steps for v in s[1:3])]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(64 + (value - low) / span * 310, 2)

    def bar(row: int, name: str, start: float, end: float, value: float, css: str) -> Bar:
        left, right = sorted((place(start), place(end)))
        inside = right + 60 > 450
        return Bar(
            name, css, left, max(right - left, 1.0), 6 + row * BAR, shown(value),
            left - 5 if inside else right + 5, "end" if inside else "start", place(end),
        )  # fmt: skip

    bars = [
        bar(i, name, start, end, value, "falls" if value < 0 else "rises")
        for i, (name, start, end, value) in enumerate(steps)
    ]
    bars.append(bar(len(steps), "sum", 0.0, n.total, n.total, "total"))
    return tuple(bars), place(0.0)


def _low(term: Term) -> str:
    return str(term.index + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _curve(n: Neuron) -> Plot:
    near = 0.22 * (n.curve.x[-1] - n.curve.x[0])
    tangent = [
        n.output + n.derivative * (x - n.total) if abs(x - n.total) < near else None
        for x in n.curve.x
    ]
    values = [y for y in n.curve.y if abs(y) < float("inf")]
    low, high = min([*values, 0.0]), max([*values, 0.0])
    margin = 0.08 * ((high - low) or 1.0)
    return plot(
        n.curve.x,
        [
            Series(f"φ = {n.activation}", "forward", n.curve.y),
            Series("slope φ′", "backward", tangent),
        ],
        [Mark(n.total, n.output, f"φ({shown(n.total)}) = {shown(n.output)}", "here")],
        y_range=(low - margin, high + margin),
    )


STEP = Step(
    name="neuron",
    title="Neuron",
    lead="Inputs times weights, summed, plus a bias; then an activation.",
    form=NeuronForm,
    answer=_answer,
    picture=_picture,
    summary="One neuron, term by term",
    help="φ(Σ xᵢ·wᵢ + b): every product, the running sum, the output, how it changes with each "
    "input, weight and the bias, and the activation's curve around the operating point.",
    example={"weighted_sum": 2.8, "bias": 2.0, "total": 4.8, "output": 4.8},
)
