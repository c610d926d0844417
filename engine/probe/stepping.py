"""Around the optimisers' steps: gradients as they see them, and what they do to the parameters."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from layerscope.engine.probe.accelerator import Afar
from layerscope.engine.probe.collecting import Batch, Collector
from layerscope.engine.probe.hooks import Mode
from layerscope.engine.probe.watched import Key, Tracked, Watched
from layerscope.engine.probe.writing import Writer
from layerscope.engine.statistics.device import readable_there
from layerscope.engine.statistics.many import Reader

__all__ = ["OptimizerHooks"]


Storage = tuple[int, int, int, torch.dtype]
"""Where a tensor's numbers lie, how often they were written, how many they are, and of which kind:
only those of the same size and kind have a difference."""


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
        self.updates = [t.update for t in several]
        self.rooms = [None if t.group is None else t.room() for t in several]
        self.all_kept = all(t.group is not None for t in several)
        self.versions: list[int] = []
        """When they were put aside last."""

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

    @property
    def untouched(self) -> bool:
        """Whether nobody has changed one since they were put aside."""
        return self.in_place and list(map(_version, self.parameters)) == self.versions

    def all_moved(self, stepped: Sequence[Tracked]) -> bool:
        """Whether it is all of them that have stepped, in their places, to be read later."""
        return (
            stepped == self.several and self.all_kept and self.in_place
            and not any(key.at_once for key in self.updates)
        )  # fmt: skip

    def batch(self, keys: list[Key], *, subtracts: bool = False) -> Batch:
        """To read them as they are now, and to keep or to subtract what was kept."""
        batch = Batch(subtracts=subtracts)
        batch.keys, batch.tensors, batch.snapshots = keys, self.views, self.rooms
        batch.versions = list(map(_version, self.parameters))
        return batch


_data_ptr, _version = Tensor.data_ptr, attrgetter("_version")

PATIENCE = 60.0
"""Seconds that an optimiser waits for parameters to be read, which takes milliseconds."""


class OptimizerHooks:
    """Follows the steps of the given optimisers by PyTorch's global hooks, filtered by id.

    ``before`` is called before every step of one of them, with its parameters' gradients.
    """

    def __init__(
        self,
        watched: Watched,
        collector: Collector,
        writer: Writer,
        afar: Afar,
        failed: Callable[[BaseException], None],
        before: Callable[[Sequence[Tracked]], None],
    ) -> None:
        self.mode = Mode.OFF
        self.taken = 0
        """Optimiser steps since the last step of the probe."""
        self.learning_rates: list[float] = []
        self.late_rates: list[tuple[Tensor, Callable[[float], None]]] = []
        """Those on an accelerator, and what is told their numbers."""
        self._watched = watched
        self._collector = collector
        self._writer = writer
        self._afar = afar
        self._failed = failed
        self._before = before
        self._reader = Reader()
        self._ids = {id(optimizer) for optimizer in watched.optimizers}
        self._aside: dict[Tracked, Storage] = {}
        """The parameters whose values were put aside, as they were then."""
        self._usual: _Usual | None = None
        """All of them at once, where that can be."""
        self._as_usual = False
        """Whether that is what counts in this step, and ``_aside`` is empty."""
        self._after_backward: dict[Tracked, tuple[Tensor, int]] = {}
        self._read: dict[Tracked, tuple[weakref.ref[Tensor], int]] = {}
        """The gradients of the last recorded step, and their versions then."""
        self._unread: list[threading.Event] = []
        """Set once the writer has read the parameters."""
        self.changes_gradients = True
        """Whether something changes gradients between backward pass and optimiser; at first it
        is taken to be so."""
        self.reads_gradients_at_once = True
        """Whether they are read before the optimiser's step: at first, and from then on where they
        have been seen to change after it, as when they are zeroed in place."""
        self.stale = 0
        """Parameters that stepped by a gradient which the step before had used already."""
        self._notes = False
        """Whether the step after this one is recorded, so that its gradients are noted."""
        self._used: dict[Tracked, tuple[weakref.ref[Tensor], int]] = {}
        """The gradients by which the optimisers have stepped, and their versions after that: of
        the last step, then of this one."""
        self._left: dict[Tracked, tuple[Tensor, int]] = {}
        """Those of the last step that nobody had touched when this backward pass began."""
        self._repeated: dict[Tracked, Tensor] = {}
        """Those to which one has added."""
        self._known = self._reused = False
        self._handles = (
            register_optimizer_step_pre_hook(self._pre),
            register_optimizer_step_post_hook(self._post),
        )

    def remove(self) -> None:
        """Leaves no hook anywhere."""
        self.mode = Mode.OFF
        for handle in self._handles:
            handle.remove()
        self._read.clear()
        self._after_backward.clear()
        self._aside.clear()
        self._used.clear()
        self._left.clear()
        self._repeated.clear()
        self._unread.clear()
        self._usual = None

    def begin(self, mode: Mode, *, next_recorded: bool) -> None:
        """A step begins: of one that is recorded the parameters are read, and put aside."""
        self.mode = mode
        self._notes = next_recorded
        self.taken = self.stale = 0
        self._left.clear()
        self._repeated.clear()
        self._after_backward.clear()
        if mode is not Mode.RECORD:
            self._used.clear()  # of a step that is not the one before a recorded one
            return
        # Read after the last step's updates, which are on their way before it.
        self._aside.clear()
        batch = self._put_all_aside()
        if batch.keys:
            self._unread.append(batch.awaited())
            self._writer.put(batch)

    def backward_begins(self) -> None:
        """Gradients are about to be computed: notes which are there yet, as the optimiser's step
        has left them. Zeroed in place, or changed by the user, they have another version: no number
        is read, so that an accelerator need not be waited for."""
        if self.mode is not Mode.RECORD:
            return
        for tracked, (was, version) in self._used.items():
            gradient = tracked.parameter.grad
            if gradient is not None and was() is gradient and gradient._version == version:
                self._left[tracked] = gradient, version

    def backward_ended(self) -> None:
        """Gradients are complete, as far as this backward pass goes, and nobody changed them."""
        if self.mode is not Mode.RECORD:
            return
        keys, gradients, left = [], [], self._left
        for tracked in self._watched.tracked.values():
            gradient = tracked.parameter.grad
            if gradient is not None:
                if (
                    left
                    and (was := left.get(tracked)) is not None
                    and (gradient is not was[0] or gradient._version != was[1])
                ):
                    self._repeated[tracked] = gradient
                self._after_backward[tracked] = gradient, gradient._version
                keys.append(tracked.unclipped)
                gradients.append(gradient)
        left.clear()
        if self.changes_gradients:
            self._collector.read_now(keys, gradients)

    def _wait(self) -> None:
        """Parameters are about to change: whoever reads them comes first."""
        unread, self._unread = self._unread, []
        if not all(read.wait(PATIENCE) for read in unread):
            raise TimeoutError(f"parameters could not be read within {PATIENCE:g} s")

    def _mine(self, optimizer: Optimizer) -> list[Tracked]:
        known = self._watched.tracked
        return [
            known[id(p)] for group in optimizer.param_groups for p in group["params"]
            if id(p) in known
        ]  # fmt: skip

    def _pre(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.mode or id(optimizer) not in self._ids:
            return
        closure = any(callable(a) for a in (*args, *kwargs.values()))
        try:
            mine = self._mine(optimizer)
            self._wait()
            self._before([] if closure else mine)
            self._rates()
            if self.mode is Mode.RECORD:
                self._renew(mine)
                if not closure:
                    self._gradients(mine)
        except Exception as error:
            self._failed(error)

    def _rates(self) -> None:
        """The learning rates as they are now. Of one that lies on an accelerator the number comes
        with the step's records."""
        rates: list[float] = []
        self.learning_rates, self.late_rates = rates, []
        for optimizer in self._watched.optimizers:
            for group in optimizer.param_groups:
                rate = group.get("lr")
                if isinstance(rate, Tensor) and self._afar.holds(rate):
                    late = rate.detach().clone()  # schedulers write into it
                    self.late_rates.append((late, partial(rates.__setitem__, len(rates))))
                    rate = math.nan
                if rate is not None:
                    rates.append(float(rate))

    def _put_all_aside(self) -> Batch:
        usual, watched = self._usual, self._watched
        if usual is None or usual.changes != watched.changes or not usual.in_place:
            usual = self._usual = _Usual.of(list(watched.tracked.values()), watched.changes)
        self._as_usual = usual is not None
        if usual is None:
            batch = Batch()
            self._put_aside(batch, list(watched.tracked.values()))
            return batch
        batch = usual.batch(usual.values)
        usual.versions = batch.versions
        return batch

    def _put_aside(self, batch: Batch, several: Sequence[Tracked]) -> None:
        """The values to be read, as they are now: of the storages, which the user may replace
        before they are read. Of parameters of the optimisers the numbers are kept."""
        elsewhere = []
        for tracked in several:
            parameter = tracked.parameter
            if tracked.group is not None:
                self._aside[tracked] = _storage(parameter)
            if readable_there(parameter):
                elsewhere.append(tracked)
                continue
            batch.add(tracked.value, parameter.detach())
            batch.snapshots.append(None if tracked.group is None else tracked.room())
        self._afar.put_aside(elsewhere)

    def _renew(self, mine: Sequence[Tracked]) -> None:
        """Puts aside anew what the user has changed since the step began."""
        if self._as_usual and self._usual is not None:
            if self._usual.untouched:
                return
            self._one_by_one(self._usual)
        batch = Batch()
        self._put_aside(batch, [t for t in mine if self._aside.get(t) != _storage(t.parameter)])
        if batch.keys:
            self._writer.put(batch.read(self._reader))

    def _one_by_one(self, usual: _Usual) -> None:
        """From now on in this step every parameter is asked by itself."""
        self._as_usual = False
        for place, tracked in enumerate(usual.several):
            if tracked.group is not None:
                view = usual.views[place]
                self._aside[tracked] = (
                    usual.addresses[place], usual.versions[place], view.numel(), view.dtype,
                )  # fmt: skip

    def _gradients(self, mine: Sequence[Tracked]) -> None:
        changed, reused = False, self._reused
        after, read, repeated = self._after_backward.get, self._read, self._repeated
        keys, gradients = [], []
        for tracked in mine:
            gradient = tracked.parameter.grad
            if gradient is None:
                continue
            version = gradient._version
            if (at_end := after(tracked)) is not None and not changed:
                changed = at_end[0] is not gradient or at_end[1] != version
            if not reused and (before := read.get(tracked)) is not None:
                reused = before[0]() is gradient
            if repeated and repeated.get(tracked) is gradient:
                self.stale += 1
            read[tracked] = weakref.ref(gradient), version
            keys.append(tracked.gradient)
            gradients.append(gradient)
        self.changes_gradients, self._reused, self._known = changed, reused, True
        if self.reads_gradients_at_once:
            self._collector.read_now(keys, gradients)
        else:
            self._collector.add_all(keys, gradients)

    def gradients_changed(self) -> None:
        """They were seen to change before they could be read."""
        self._reused = self.reads_gradients_at_once = True

    def end(self) -> None:
        """The step has ended: learns whether gradients were changed after they had been used."""
        if self.mode is Mode.RECORD:
            for was, version in self._read.values():
                gradient = was()
                self._reused |= gradient is not None and gradient._version != version
            self.reads_gradients_at_once = self._reused or not self._known

    def _post(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.mode or id(optimizer) not in self._ids:
            return
        self.taken += 1
        recorded = self.mode is Mode.RECORD
        if not recorded and not self._notes:
            return
        try:
            stepped = [t for t in self._mine(optimizer) if t.parameter.grad is not None]
            if recorded:
                if any(callable(a) for a in (*args, *kwargs.values())):
                    self._gradients(stepped)  # before a closure there were those of another step
                self._updates(stepped)
            if self._notes:
                self._note(stepped)
        except Exception as error:
            self._failed(error)

    def _note(self, stepped: Sequence[Tracked]) -> None:
        """The gradients by which these have stepped."""
        for tracked in stepped:
            if (gradient := tracked.parameter.grad) is not None:
                self._used[tracked] = weakref.ref(gradient), gradient._version

    def _updates(self, stepped: Sequence[Tracked]) -> None:
        """Against what was put aside; read at once where it was seen to change soon after."""
        usual = self._usual
        if self._as_usual and usual is not None:
            if usual.all_moved(stepped):
                batch = usual.batch(usual.updates, subtracts=True)
                self._unread.append(batch.awaited())
                self._writer.put(batch)
                return
            self._one_by_one(usual)
        later, now, elsewhere = Batch(subtracts=True), Batch(subtracts=True), []
        for tracked in stepped:
            before = self._aside.get(tracked)
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
        if later.keys:
            self._unread.append(later.awaited())
            self._writer.put(later)
