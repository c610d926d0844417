"""A recorded step as the signal strip: each module's output above, the gradient there below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures.strip import Cell, cell_css, cell_words, lost
from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.glance import Glance
from layerscope.engine.probe.step import Quantity
from layerscope.engine.statistics import Figures

__all__ = ["Row", "Signal", "common_dtype", "signal"]

Row = tuple[float | None, float | None, int, float | None, int]
"""Of a module, for the charts by depth: std and mean of its output and what is `lost` in it, then
the spread of the gradient there, its rms where it has no std, and what is lost in that; None for
what was not recorded, or of which nothing is finite."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Of every module, in forward order; None for a module of which the step has no such thing."""

    step: int | None
    activations: Sequence[Cell | None]
    gradients: Sequence[Cell | None]
    figures: Sequence[Row]
    dtype: str | None
    """Of all outputs, where it is the same."""

    def to_dict(self) -> dict[str, object]:
        """As js/runs/signal.js takes it: by module, classes and words of both cells; figures."""
        pairs = zip(self.activations, self.gradients, strict=True)
        return {
            "step": self.step,
            "modules": [[part for c in pair for part in (c and c.css, c and c.text)]
                        for pair in pairs],
            "figures": self.figures,
            "dtype": self.dtype,
        }  # fmt: skip


def signal(step: Glance | None, facts: Sequence[Facts]) -> Signal:
    """The step's; empty cells where there is none.

    Activations are coloured against 1, gradients against that of the last module that has one.
    """
    outputs = [_of(step, f, Quantity.ACTIVATION) for f in facts]
    gradients = [_of(step, f, Quantity.GRADIENT) for f in facts]
    last = next((s.std or s.rms for s in reversed(gradients) if s and s.finite), None)
    return Signal(
        None if step is None else step.number, [_cell(s, 1.0) for s in outputs],
        [_cell(s, last or 1.0) for s in gradients],
        [_row(*pair) for pair in zip(outputs, gradients, strict=True)],
        common_dtype(facts),
    )  # fmt: skip


def common_dtype(facts: Sequence[Facts]) -> str | None:
    """The modules', where they have the same."""
    dtypes = {f.dtype for f in facts}
    return dtypes.pop() if len(dtypes) == 1 else None


def _of(step: Glance | None, facts: Facts, quantity: Quantity) -> Figures | None:
    return None if step is None else step.of(facts.index, quantity)


def _row(a: Figures | None, g: Figures | None) -> Row:
    """Of a module's output and the gradient there."""
    spread = None if g is None else g.rms if g.std is None else g.std
    std, mean = (None, None) if a is None else (a.std, a.mean)
    return std, mean, lost(a), spread, lost(g)


def _cell(s: Figures | None, reference: float) -> Cell | None:
    return None if s is None else Cell(cell_css(s, reference), cell_words(s))
