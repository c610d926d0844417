"""What a stored run says over its steps: one figure a module and step, whatever its length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.glance import Glance, Told
from layerscope.engine.probe.step import Quantity, Step
from layerscope.engine.store import Step as StoredStep

__all__ = [
    "OF_THE_RUN", "QUANTITIES", "SERIES", "Series", "column", "histories", "history", "outlined",
    "recorded",
]  # fmt: skip

Values = list[float | None]

Figure = Callable[[Told, Facts], float | None]


def _figure(quantity: Quantity, name: str) -> Figure:
    """A figure of the weight's statistics, the first parameter, or of what has no parameter."""

    def figure(step: Told, facts: Facts) -> float | None:
        s = step.of(facts.index, quantity)
        value: float | None = None if s is None else getattr(s, name)
        return value

    return figure


def _norm(step: Told, facts: Facts) -> float | None:
    s = step.of(facts.index, Quantity.PARAMETER_GRADIENT)
    return None if s is None or s.rms is None else s.rms * math.sqrt(s.finite)


def _dead_share(step: Told, facts: Facts) -> float | None:
    said = step.said.get(facts.index)
    look = said.look if said else None
    if look is None or look.dead is None or not look.units or not look.units.width:
        return None
    return look.dead / look.units.width


def _nonfinite(step: Told, facts: Facts) -> float | None:
    count = step.nonfinite.get(facts.index)
    return None if count is None else float(count)


SERIES: Mapping[str, Figure] = {
    "std": _figure(Quantity.ACTIVATION, "std"),
    "mean": _figure(Quantity.ACTIVATION, "mean"),
    "gradient_std": _figure(Quantity.GRADIENT, "std"),
    "weight_std": _figure(Quantity.VALUE, "std"),
    "weight_gradient_norm": _norm,
    "update_ratio": lambda step, facts: step.update_ratio(facts.index),
    "dead_share": _dead_share,
    "nonfinite": _nonfinite,
}
"""The quantities of a series, one figure a module and step, by name."""


@dataclass(frozen=True, slots=True)
class Series:
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


OF_THE_RUN: dict[str, Callable[[StoredStep, Told | None], float | None]] = {
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
    return _read(Step, stored)


def outlined(stored: StoredStep) -> Glance | None:
    """The same for little of it, without histograms, which is much quicker."""
    return _read(Glance, stored)


S = TypeVar("S", Step, Glance)


def _read(kind: type[S], stored: StoredStep) -> S | None:
    if not stored.payload:
        return None
    try:
        return kind.from_bytes(stored.payload)
    except ValueError:
        return None


def column(quantity: str, step: Told | None, facts: Iterable[Facts]) -> Values:
    """The figure of every module in one step."""
    if step is None:
        return [None for _ in facts]
    figure = SERIES[quantity]
    return [figure(step, each) for each in facts]


def history(quantity: str, steps: Iterable[StoredStep], facts: Sequence[Facts]) -> Series:
    """A quantity of these modules over these steps.

    Errors: ``ValueError`` for a quantity that is none of `QUANTITIES`.
    """
    return histories((quantity,), steps, facts)[0]


def histories(
    quantities: Sequence[str], steps: Iterable[StoredStep], facts: Sequence[Facts]
) -> list[Series]:
    """Several, from steps that are read once: that is what takes the time.

    Errors: as of `history`.
    """
    if unknown := [name for name in quantities if name not in QUANTITIES]:
        raise ValueError(f"expected one of {', '.join(QUANTITIES)}; got {unknown[0]!r}")
    read = [(stored, outlined(stored)) for stored in steps]
    return [_series(name, read, facts) for name in quantities]


def _series(
    quantity: str, read: Sequence[tuple[StoredStep, Told | None]], facts: Sequence[Facts]
) -> Series:
    numbers = [stored.number for stored, _ in read]
    if (whole := OF_THE_RUN.get(quantity)) is not None:
        return Series(quantity, numbers, [quantity], [[whole(*each) for each in read]])
    columns = [column(quantity, step, facts) for _, step in read]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in facts]
    return Series(quantity, numbers, [each.name for each in facts], rows)
