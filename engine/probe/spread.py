"""How a tensor's entries spread over powers of two, step by step, as it was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.facts import ModuleFacts, ParameterFacts
from layerscope.engine.probe.step import Outline, Quantity
from layerscope.engine.statistics import Figures, Histogram, Statistics
from layerscope.engine.store import Step as StoredStep

__all__ = ["HISTOGRAM", "OUTPUT", "Spreads", "dtype_of", "spreads", "tensors_of"]

HISTOGRAM = "histogram"
"""The quantity's name beside those of `QUANTITIES`: more than one figure a module and step."""
OUTPUT = "activation"
"""The tensor that every module has."""
OF_THE_MODULE = {
    OUTPUT: Quantity.ACTIVATION, f"{OUTPUT}.grad": Quantity.GRADIENT, "input": Quantity.INPUT,
}  # fmt: skip
OF_A_PARAMETER = {
    "": Quantity.VALUE, ".grad": Quantity.PARAMETER_GRADIENT, ".unclipped": Quantity.UNCLIPPED,
    ".update": Quantity.UPDATE,
}  # fmt: skip


class _Unread(Figures, gc=False):
    """A tensor's figures, its histogram still bytes: of a step's tensors one is asked for."""

    histogram: msgspec.Raw

    def read(self) -> Statistics:
        """All of it. Errors: ``ValueError``."""
        packed = bytes((Histogram.version,)) + bytes(self.histogram)
        figures = {name: getattr(self, name) for name in Figures.__struct_fields__}
        return Statistics(**figures, histogram=Histogram.from_bytes(packed))


class _Unopened(Outline, dict=True):
    """A step whose histograms are still bytes."""

    statistics: Sequence[_Unread]


@dataclass(frozen=True, slots=True)
class Spreads:
    """One tensor of some modules: ``values`` has a row a module, a value a step, None where it was
    not recorded; ``dtypes`` are the tensor's, None for a module without it."""

    tensor: str
    steps: list[int]
    modules: list[str]
    dtypes: list[str | None]
    values: list[list[Statistics | None]]

    def to_dict(self) -> dict[str, object]:
        """As of `Series`; each value is a histogram and what it leaves out, which together are
        ``count`` entries."""
        return {
            "quantity": HISTOGRAM, "tensor": self.tensor, "steps": self.steps,
            "modules": self.modules, "dtypes": self.dtypes,
            "values": [[None if s is None else _counts(s) for s in row] for row in self.values],
        }  # fmt: skip


def _counts(s: Statistics) -> dict[str, object]:
    return {**s.histogram.to_dict(), **s.part("zeros", "nan", "posinf", "neginf", "count")}


def tensors_of(facts: Facts) -> dict[str, tuple[Quantity, int]]:
    """What may be asked of a module: ``activation``, ``activation.grad``, and of every parameter
    its name, with ``.grad``, ``.update``, or ``.unclipped`` for the gradient before clipping."""
    found = {name: (quantity, 0) for name, quantity in OF_THE_MODULE.items()}
    for place, name in enumerate(_parameters(facts)):
        for ending, quantity in OF_A_PARAMETER.items():
            found.setdefault(f"{name}{ending}", (quantity, place))
    return found


def _parameters(facts: Facts) -> Mapping[str, ParameterFacts]:
    return facts.parameters if isinstance(facts, ModuleFacts) else {}


def dtype_of(facts: Facts, tensor: str) -> str | None:
    """The dtype of a tensor; None where the module has none of this name."""
    quantity, place = tensors_of(facts).get(tensor, (None, 0))
    if quantity is None:
        return None
    if quantity in OF_THE_MODULE.values():
        return facts.dtype
    return list(_parameters(facts).values())[place].dtype


def spreads(tensor: str, steps: Iterable[StoredStep], facts: Sequence[Facts]) -> Spreads:
    """A tensor of each of these modules over these steps."""
    places = [(each.index, *found) if (found := tensors_of(each).get(tensor)) else None
              for each in facts]  # fmt: skip
    numbers: list[int] = []
    columns: list[list[Statistics | None]] = []
    for stored in steps:
        numbers.append(stored.number)
        columns.append(_column(stored, places))
    return Spreads(
        tensor, numbers, [each.name for each in facts], [dtype_of(f, tensor) for f in facts],
        [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in facts],
    )  # fmt: skip


def _column(
    stored: StoredStep, places: Sequence[tuple[int, Quantity, int] | None]
) -> list[Statistics | None]:
    nothing: list[Statistics | None] = [None for _ in places]
    if not stored.payload:
        return nothing
    try:
        step = _Unopened.from_bytes(stored.payload)
        at = {(s.module, s.quantity, s.parameter): i for i, s in enumerate(step.slots)}
        found = [at.get(place) if place else None for place in places]
        return [None if i is None else step.statistics[i].read() for i in found]
    except ValueError:
        return nothing  # somebody else wrote it
