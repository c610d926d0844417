"""A recorded step of which little is asked: what is not asked for stays bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

import msgspec

from layerscope.engine.basis.serial import Serial
from layerscope.engine.probe.step import ModuleStep, Quantity, slot_places, update_ratio
from layerscope.engine.statistics import Figures

__all__ = ["Glance", "Told"]


class Told(Protocol):
    """What figures over the steps are read from: a `Glance`, an `Outline` or a `Step`."""

    @property
    def learning_rates(self) -> Sequence[float]: ...
    @property
    def said(self) -> Mapping[int, ModuleStep]: ...
    @property
    def nonfinite(self) -> Mapping[int, int]: ...
    def of(self, module: int, quantity: Quantity, parameter: int = 0) -> Figures | None: ...
    def update_ratio(self, module: int, parameter: int = 0) -> float | None: ...


class _Count(Serial, gc=False):
    """The beginning of a tensor's figures."""

    count: int
    finite: int


class Glance(Serial, dict=True):
    """The bytes of a ``Step`` can be read as one, in a tenth of the time that an ``Outline`` takes.

    A part that is something else than a probe writes tells nothing.
    """

    number: int
    time: float
    loss: float | None
    learning_rates: list[float]
    slots: msgspec.Raw
    statistics: list[msgspec.Raw]
    modules: msgspec.Raw

    @cached_property
    def _places(self) -> Mapping[tuple[int, int, int], int]:
        places = slot_places(bytes(self.slots))
        return places if len(places) == len(self.statistics) else {}

    @cached_property
    def said(self) -> Mapping[int, ModuleStep]:
        """What the step says of a module beside statistics, by its index."""
        try:
            return {module.index: module for module in _modules.decode(self.modules)}
        except msgspec.MsgspecError:
            return {}

    @cached_property
    def nonfinite(self) -> Mapping[int, int]:
        """Entries that are not finite in all that was recorded of a module, by its index."""
        found: dict[int, int] = {}
        try:
            for (module, _, _), place in self._places.items():
                s = _count.decode(self.statistics[place])
                found[module] = found.get(module, 0) + s.count - s.finite
        except msgspec.MsgspecError:
            return {}
        return found

    def of(self, module: int, quantity: Quantity, parameter: int = 0) -> Figures | None:
        """Of one tensor; None where it was not recorded."""
        place = self._places.get((module, int(quantity), parameter))
        try:
            return None if place is None else _figures.decode(self.statistics[place])
        except msgspec.MsgspecError:
            return None

    def update_ratio(self, module: int, parameter: int = 0) -> float | None:
        """rms(Δw)/rms(w) of one parameter; None where w is zero or either is not known."""
        return update_ratio(
            self.of(module, Quantity.UPDATE, parameter), self.of(module, Quantity.VALUE, parameter)
        )


_modules = msgspec.msgpack.Decoder(list[ModuleStep])
_figures = msgspec.msgpack.Decoder(Figures)
_count = msgspec.msgpack.Decoder(_Count)
