"""A recorded step as the signal strip: each module's output above, the gradient there below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.strip import Cell, cell_css, cell_words
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.step import Quantity
from layerscope.engine.statistics import Figures

__all__ = ["Signal", "signal"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Of every module, in forward order; None for a module of which the step has no such thing."""

    step: int | None
    activations: Sequence[Cell | None]
    gradients: Sequence[Cell | None]

    def to_dict(self) -> dict[str, object]:
        """As js/runs/signal.js takes it: by module, classes and words of both cells."""
        pairs = zip(self.activations, self.gradients, strict=True)
        return {
            "step": self.step,
            "modules": [[part for c in pair for part in (c and c.css, c and c.text)]
                        for pair in pairs],
        }  # fmt: skip


def signal(step: Glance | None, facts: Sequence[Facts]) -> Signal:
    """The step's; empty cells where there is none.

    Activations are coloured against 1, gradients against that of the last module that has one.
    """
    if step is None:
        return Signal(None, [None] * len(facts), [None] * len(facts))
    outputs = [step.of(f.index, Quantity.ACTIVATION) for f in facts]
    gradients = [step.of(f.index, Quantity.GRADIENT) for f in facts]
    last = next((s.std or s.rms for s in reversed(gradients) if s and s.finite), None)
    return Signal(
        step.number, [_cell(s, 1.0) for s in outputs],
        [_cell(s, last or 1.0) for s in gradients],
    )  # fmt: skip


def _cell(s: Figures | None, reference: float) -> Cell | None:
    return None if s is None else Cell(cell_css(s, reference), cell_words(s))
