"""The curves of an experiment as the server draws them, for who has no scripts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.plot import Plot, Series, plot
from layerscope.app.pages.lab.blocks import Block
from layerscope.engine.execution.records import Record

__all__ = ["Still", "stills"]


@dataclass(frozen=True, slots=True)
class Still:
    """A chart that stands still.

    Attributes:
        name: of its elements.
        label: its words.
    """

    name: str
    title: str
    note: str
    label: str
    plot: Plot


def stills(blocks: Sequence[Block], records: Sequence[Record]) -> tuple[Still, ...]:
    """The spread of what every block gives, and of the gradient there, on a scale of powers of ten;
    where a spread is 0, or nothing is finite, the curve has a gap."""
    ends = [records[block.after] for block in blocks]
    back = [record.gradient for record in ends]
    activations = [_exponent(record.activation.std) for record in ends]
    gradients = [_exponent((g.rms if g.std is None else g.std) if g else None) for g in back]
    return (
        _still("activations", "Activations", "std of a layer's output", "forward", activations),
        _still("gradients", "Gradients", "std of the loss's gradient there", "backward", gradients),
    )


def _still(name: str, title: str, note: str, css: str, exponents: list[float | None]) -> Still:
    x = range(1, len(exponents) + 1)
    *layers, output = [value is not None for value in exponents]
    of_output = "one" if output else "none"
    told = f"{sum(layers)} of {len(layers)} layers have one, the output has {of_output}"
    label = f"{title}: {note}, by layer; {told}"
    return Still(name, title, note, label, plot(x, [Series(note, css, exponents)], log=True))


def _exponent(spread: float | None) -> float | None:
    return math.log10(spread) if spread else None
