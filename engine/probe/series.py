"""What a stored run says over its steps: one figure a module and step, whatever its length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.step import SERIES, Step
from layerscope.engine.store import Step as StoredStep

__all__ = ["QUANTITIES", "History", "column", "history", "recorded"]

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class History:
    """``values`` has a row a module, a value a step, None where nothing was recorded."""

    quantity: str
    steps: list[int]
    modules: list[str]
    values: list[Values]

    def to_dict(self) -> dict[str, object]:
        """As the contract names them."""
        return {
            "quantity": self.quantity, "steps": self.steps, "modules": self.modules,
            "values": self.values,
        }  # fmt: skip


OF_THE_RUN: dict[str, Callable[[StoredStep, Step | None], float | None]] = {
    "loss": lambda stored, _: stored.loss,
    "learning_rate": lambda _, step: (
        step.learning_rates[0] if step and step.learning_rates else None
    ),
}
"""Quantities of the whole: one row."""
QUANTITIES = (*OF_THE_RUN, *SERIES)
"""What may be asked for, by the contract's names."""


def recorded(stored: StoredStep) -> Step | None:
    """What the probe wrote of a step; None where that was not asked for, or something else did."""
    if not stored.payload:
        return None
    try:
        return Step.from_bytes(stored.payload)
    except ValueError:
        return None


def column(quantity: str, step: Step | None, facts: Iterable[Facts]) -> Values:
    """The figure of every module in one step."""
    if step is None:
        return [None for _ in facts]
    series = SERIES[quantity]
    return [series(step, each) for each in facts]


def history(quantity: str, steps: Iterable[StoredStep], facts: Sequence[Facts]) -> History:
    """A quantity of these modules over these steps.

    Errors: ``ValueError`` for a quantity that is none of `QUANTITIES`.
    """
    steps = list(steps)
    numbers = [stored.number for stored in steps]
    if (whole := OF_THE_RUN.get(quantity)) is not None:
        row = [whole(stored, recorded(stored)) for stored in steps]
        return History(quantity, numbers, [quantity], [row])
    if quantity not in SERIES:
        raise ValueError(f"expected one of {', '.join(QUANTITIES)}; got {quantity!r}")
    columns = [column(quantity, recorded(stored), facts) for stored in steps]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in facts]
    return History(quantity, numbers, [each.name for each in facts], rows)
