"""Tensors on an accelerator: read there as they are seen, fetched in one copy a step
and device.

Nothing here waits for the device in the thread that trains; the one copy is made by the writing
thread, behind an event that tells when the step's records are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerscope.engine.execution.saturation import SAMPLES, FlatRegion
from layerscope.engine.probe.collecting import Reading
from layerscope.engine.probe.step import Look
from layerscope.engine.probe.watched import Key, Tracked
from layerscope.engine.statistics import Units
from layerscope.engine.statistics.device import WORDS, answers, readable_there, records

__all__ = ["Afar", "Fetched", "fetch", "place", "share_there"]

LOOKED = 5
"""Numbers of a look."""


def place(tensor: Tensor) -> Any:
    """The device on which it lies: only what lies on one can come in one copy."""
    return tensor.device


def fetch(buffer: Tensor, ready: Any) -> NDArray[np.int64]:
    """Brings a step's records over: the only place where memory of a device is copied."""
    if ready is not None:
        ready.synchronize()
    return buffer.cpu().numpy()


class Fetched:
    """A step's records of one device, on their way; behind them those of the looks, then a row of
    single numbers, which are told to whoever waits for them."""

    def __init__(self, there: _There) -> None:
        self._keys, self._rows, self._dtypes = there.keys, there.rows, there.dtypes
        self._looks = [look for look, _ in there.looks]
        self._tellers = [tell for tell, _ in there.numbers]
        self._buffer = there.buffer()
        self._ready = None
        if not self._buffer.is_cpu:
            self._ready = torch.Event(self._buffer.device)
            self._ready.record()

    def read(self) -> Reading:
        """What the device said; in the writing thread."""
        found = fetch(self._buffer, self._ready)
        if self._tellers:
            values = found[-1, : len(self._tellers)].view(np.float64).tolist()
            for tell, value in zip(self._tellers, values, strict=True):
                tell(value)
            found = found[:-1]
        for (look, batch, width), row in zip(
            self._looks, found[len(found) - len(self._looks) :], strict=True
        ):
            told = row[:LOOKED].view(np.float64).tolist()
            dead, constant, correlation, over_window, share = (
                None if math.isnan(value) else value for value in told
            )
            look.units = Units(batch, width, int(dead or 0), int(constant or 0), correlation)
            look.dead, look.saturation = int(over_window or 0), share
        found = found[: len(found) - len(self._looks)]
        return Reading(self._keys, answers(found, self._rows, self._dtypes))


class _There:
    """What of a step lies on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.keys: list[Key] = []
        self.rows: list[int] = []
        self.dtypes: list[torch.dtype] = []
        self.records: list[Tensor] = []
        self.looks: list[tuple[tuple[Look, int, int], Tensor]] = []
        self.numbers: list[tuple[Callable[[float], None], Tensor]] = []

    def buffer(self) -> Tensor:
        """All of it, (rows, ``WORDS``)."""
        parts = list(self.records)
        if self.looks:
            parts.append(self._rows_of(torch.stack([found for _, found in self.looks])))
        if self.numbers:
            parts.append(self._rows_of(torch.stack([number for _, number in self.numbers])[None]))
        return torch.cat(parts)

    def _rows_of(self, told: Tensor) -> Tensor:
        rows = torch.zeros((len(told), WORDS), dtype=torch.int64, device=self.device)
        rows[:, : told.shape[1]] = told.view(torch.int64)
        return rows


class Afar:
    """What of a step lies on accelerators: records that grow there, on each by itself."""

    def __init__(self) -> None:
        self._there: dict[Any, _There] = {}

    @staticmethod
    def holds(tensor: Tensor) -> bool:
        """Whether a tensor can be read where it lies, and lies elsewhere than here."""
        return readable_there(tensor)

    def _at(self, tensor: Tensor) -> _There:
        device = place(tensor)
        if device not in self._there:
            self._there[device] = _There(tensor.device)
        return self._there[device]

    def take(self, keys: Sequence[Key], tensors: Sequence[Tensor]) -> None:
        """Reads tensors as they are now; returns before the devices have done it."""
        devices = list(map(place, tensors))
        for device in dict.fromkeys(devices):
            mine = [i for i, each in enumerate(devices) if each == device]
            some = [tensors[i] for i in mine]
            there = self._at(some[0])
            with torch.no_grad():
                found, rows = records(some)
            there.keys += [keys[i] for i in mine]
            there.rows += rows
            there.dtypes += [tensor.dtype for tensor in some]
            there.records.append(found)

    def put_aside(self, several: Sequence[Tracked]) -> None:
        """Reads parameters, and keeps what they are."""
        if several:
            parameters = [t.parameter.detach() for t in several]
            self.take([t.value for t in several], parameters)
            rooms = [t.room().view(t.parameter.shape) for t in several if t.group is not None]
            kept = [t.parameter.detach() for t in several if t.group is not None]
            torch._foreach_copy_(rooms, kept)

    def updates(self, several: Sequence[Tracked]) -> None:
        """Reads what has become of them since."""
        changes = [
            t.parameter.detach() - t.snapshot.view(t.parameter.shape)
            for t in several if t.snapshot is not None
        ]  # fmt: skip
        self.take([t.update for t in several if t.snapshot is not None], changes)

    def look(
        self, look: Look, batch: int, width: int, units: Tensor, dead: Tensor, share: Tensor | None
    ) -> None:
        """What a look has found there, to be filled in once it is here: ``units`` are the dead and
        constant ones and the samples' correlation, ``dead`` those of the whole window."""
        nothing = torch.full_like(dead, math.nan, dtype=torch.float64)
        last = nothing if share is None else share.double()
        found = torch.cat([units, torch.stack([dead.double(), last])])
        self._at(units).looks.append(((look, batch, width), found))

    def number(self, value: Tensor, tell: Callable[[float], None]) -> None:
        """A tensor of one entry comes along; ``tell`` gets it, in the writing thread."""
        self._at(value).numbers.append((tell, value.detach().double().reshape(())))

    def ended(self) -> list[Fetched]:
        """All of the step, a copy a device."""
        there, self._there = self._there, {}
        return [Fetched(each) for each in there.values()]

    def drop(self) -> None:
        """Lets go of everything."""
        self._there = {}


def share_there(region: FlatRegion, z: Tensor) -> Tensor:
    """``FlatRegion.share`` on the device of ``z``; NaN for None."""
    few = z.detach()[:SAMPLES]
    flat = torch.zeros_like(few, dtype=torch.bool)
    for low, high in region.intervals:
        inside = few <= (math.inf if high is None else high)
        flat |= inside if low is None else inside & (few >= low)
    return flat.sum().double() / (~few.isnan()).sum()
