"""Parameters put aside before an optimiser's step, and what the step has done to them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from operator import attrgetter

import torch
from torch import Tensor

from layerscope.engine.probe.accelerator import Afar
from layerscope.engine.probe.collecting import Batch
from layerscope.engine.probe.watched import Key, Tracked, Watched
from layerscope.engine.probe.writing import Writer
from layerscope.engine.statistics.device import readable_there
from layerscope.engine.statistics.many import Reader, Words, ordinary_table

__all__ = ["Aside"]

Storage = tuple[int, int, int, torch.dtype]
"""Where a tensor's numbers lie, how often they were written, how many they are, and of which kind:
only those of the same size and kind have a difference."""
PATIENCE = 60.0
"""Seconds that an optimiser waits for parameters to be read, which takes milliseconds."""
PARTS = 8
"""Sets of parameters that step together which are remembered: one an optimiser, mostly."""

_data_ptr, _version = Tensor.data_ptr, attrgetter("_version")


def _storage(tensor: Tensor) -> Storage:
    address = tensor.data_ptr() if tensor.layout is torch.strided else 0
    return address, tensor._version, tensor.numel(), tensor.dtype


class _Usual:
    """All parameters as they are put aside in every step, as long as none is another: asked all at
    once whether they are, which is many times quicker than one by one."""

    def __init__(self, several: Sequence[Tracked], changes: int) -> None:
        self.several = list(several)
        self.changes = changes
        """Of what is watched, when this was made."""
        self.parameters = [t.parameter for t in several]
        self.addresses = list(map(_data_ptr, self.parameters))
        self.views = [p.detach() for p in self.parameters]
        self.values = [t.value for t in several]
        self.rooms = [None if t.group is None else t.room() for t in several]
        self.versions: list[int] = []
        """When they were put aside last."""
        self._table = ordinary_table(self.views, self.rooms, subtracts=False)
        self._parts: list[_Part] = []

    @staticmethod
    def of(several: Sequence[Tracked], changes: int) -> _Usual | None:
        """None where one has to be treated by itself."""
        strided = all(t.parameter.layout is torch.strided for t in several)
        if not strided or any(readable_there(t.parameter) for t in several):
            return None
        return _Usual(several, changes)

    @property
    def in_place(self) -> bool:
        """Whether all lie where they lay."""
        return list(map(_data_ptr, self.parameters)) == self.addresses

    def put_aside(self) -> Batch:
        """To read them as they are now, and to keep what they are."""
        batch = _batch(self.values, self.views, self.rooms, self._table)
        self.versions = batch.versions = list(map(_version, self.parameters))
        return batch

    def part(self, members: Sequence[Tracked]) -> _Part:
        """Some of them, in this order."""
        for part in self._parts:
            if part.members == members:
                return part
        part = _Part(self, members)
        self._parts = [part, *self._parts[: PARTS - 1]]
        return part


class _Part:
    """Those of all parameters that an optimiser steps, in its order: its groups may have another
    one, and leave out what is frozen."""

    def __init__(self, usual: _Usual, members: Sequence[Tracked]) -> None:
        self.members = list(members)
        self._usual = usual
        at = {tracked: place for place, tracked in enumerate(usual.several)}
        self._places = places = [at[tracked] for tracked in members]
        self._parameters = [usual.parameters[i] for i in places]
        self._addresses = [usual.addresses[i] for i in places]
        self._views = [usual.views[i] for i in places]
        self._rooms = [usual.rooms[i] for i in places]
        self._updates = [tracked.update for tracked in members]
        self._all_kept = all(room is not None for room in self._rooms)
        """Else one has joined the optimiser within the step: nobody knows what it was."""
        self._table = ordinary_table(self._views, self._rooms, subtracts=True)

    @property
    def _in_place(self) -> bool:
        return list(map(_data_ptr, self._parameters)) == self._addresses

    @property
    def untouched(self) -> bool:
        """Whether nobody has changed one since they were put aside."""
        then = list(map(self._usual.versions.__getitem__, self._places))
        return self._in_place and list(map(_version, self._parameters)) == then

    @property
    def moved_in_place(self) -> bool:
        """Whether they lie where they lay, and may be read later."""
        return (
            self._all_kept and self._in_place and not any(key.at_once for key in self._updates)
        )  # fmt: skip

    def updates(self) -> Batch:
        """To read what they are now less what was kept."""
        batch = _batch(self._updates, self._views, self._rooms, self._table, subtracts=True)
        batch.versions = list(map(_version, self._parameters))
        return batch


def _steps_elsewhere(tracked: Tracked) -> bool:
    """Whether somebody may change it of whom nobody tells: then it is not read later."""
    return tracked.group is None and tracked.parameter.requires_grad


def _batch(
    keys: list[Key], tensors: list[Tensor], rooms: list[Tensor | None], table: Words | None,
    *, subtracts: bool = False,
) -> Batch:  # fmt: skip
    batch = Batch(subtracts=subtracts)
    batch.table = table
    batch.keys, batch.tensors, batch.snapshots = keys, tensors, rooms
    return batch


class Aside:
    """Reads the parameters as a step begins, keeps those of the optimisers, and subtracts them
    from what they are after the optimiser's step. All is read by the writing thread, for which an
    optimiser waits before it changes anything; the numbers of an accelerator are read there."""

    def __init__(self, watched: Watched, writer: Writer, afar: Afar) -> None:
        self._watched = watched
        self._writer = writer
        self._afar = afar
        self._reader = Reader()
        self._kept: dict[Tracked, Storage] = {}
        """Where they were put aside one by one: what they were then."""
        self._usual: _Usual | None = None
        """All of them at once, where that can be."""
        self._as_usual = False
        """Whether that is what counts in this step, and ``_kept`` is empty."""
        self._unread: list[threading.Event] = []
        """Set once the writer has read the parameters."""

    @property
    def holds(self) -> bool:
        """Whether any parameter is held."""
        return bool(self._kept or self._usual)

    def clear(self) -> None:
        """Lets go of everything."""
        self._kept.clear()
        self._unread.clear()
        self._usual = None

    def put_all(self) -> None:
        """A step begins; its parameters are read behind the updates of the last one."""
        self._kept.clear()
        several, usual, changes = self._watched.tracked.values(), self._usual, self._watched.changes
        if usual is None or usual.changes != changes or not usual.in_place:
            usual = self._usual = _Usual.of(list(several), changes)
        self._as_usual = usual is not None
        batch = self._put(list(several)) if usual is None else usual.put_aside()
        if batch.keys and any(map(_steps_elsewhere, several)):
            self.wait()  # what was kept for the updates of the last step is written over
            self._writer.put(batch.read(self._reader))
        elif batch.keys:
            self._unread.append(batch.awaited())
            self._writer.put(batch)

    def wait(self) -> None:
        """Parameters are about to change: whoever reads them comes first."""
        unread, self._unread = self._unread, []
        if not all(read.wait(PATIENCE) for read in unread):
            raise TimeoutError(f"parameters could not be read within {PATIENCE:g} s")

    def renew(self, mine: Sequence[Tracked]) -> None:
        """Puts aside anew what the user has changed since the step began."""
        if self._as_usual and self._usual is not None:
            if self._usual.part(mine).untouched:
                return
            self._one_by_one(self._usual)
        batch = self._put([t for t in mine if self._kept.get(t) != _storage(t.parameter)])
        if batch.keys:
            self._writer.put(batch.read(self._reader))

    def updates(self, stepped: Sequence[Tracked]) -> None:
        """Against what was put aside; read at once where it was seen to change soon after."""
        usual = self._usual
        if self._as_usual and usual is not None:
            part = usual.part(stepped)
            if part.moved_in_place:
                self._later(part.updates())
                return
            self._one_by_one(usual)
        later, now, elsewhere = Batch(subtracts=True), Batch(subtracts=True), []
        for tracked in stepped:
            before = self._kept.get(tracked)
            if before is None or before[2:] != _storage(tracked.parameter)[2:]:
                continue
            if readable_there(tracked.parameter):
                elsewhere.append(tracked)
                continue
            batch = now if tracked.update.at_once else later
            batch.add(tracked.update, tracked.parameter.detach())
            batch.snapshots.append(tracked.snapshot)
        self._afar.updates(elsewhere)
        if now.keys:
            self._writer.put(now.read(self._reader))
        self._later(later)

    def _later(self, batch: Batch) -> None:
        if batch.keys:
            self._unread.append(batch.awaited())
            self._writer.put(batch)

    def _put(self, several: Sequence[Tracked]) -> Batch:
        """The values to be read, as they are now: of the storages, which the user may replace
        before they are read. Of parameters of the optimisers the numbers are kept."""
        batch, elsewhere = Batch(), []
        for tracked in several:
            parameter = tracked.parameter
            if tracked.group is not None:
                self._kept[tracked] = _storage(parameter)
            if readable_there(parameter):
                elsewhere.append(tracked)
                continue
            batch.add(tracked.value, parameter.detach())
            batch.snapshots.append(None if tracked.group is None else tracked.room())
        self._afar.put_aside(elsewhere)
        return batch

    def _one_by_one(self, usual: _Usual) -> None:
        """From now on in this step every parameter is asked by itself."""
        self._as_usual = False
        for place, tracked in enumerate(usual.several):
            if tracked.group is not None:
                view = usual.views[place]
                self._kept[tracked] = (
                    usual.addresses[place], usual.versions[place], view.numel(), view.dtype,
                )  # fmt: skip
