"""The gradients of parameters: after the backward pass, and as the optimiser takes them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence

from torch import Tensor

from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.watched import Tracked

__all__ = ["ParameterGradients"]


class ParameterGradients:
    """Reads them, and learns who changes them when."""

    def __init__(self, collector: Collector) -> None:
        self.changed_before = True
        """Whether something changes them between backward pass and optimiser; at first it is taken
        to be so."""
        self.read_at_once = True
        """Whether they are read before the optimiser's step: at first, and from then on where they
        have been seen to change after it, as when they are zeroed in place."""
        self._collector = collector
        self._after_backward: dict[Tracked, tuple[Tensor, int]] = {}
        self._read: dict[Tracked, tuple[weakref.ref[Tensor], int]] = {}
        """Those of the last recorded step, and their versions then."""
        self._known = self._reused = False

    def clear(self) -> None:
        """Lets go of everything."""
        self._read.clear()
        self._after_backward.clear()

    def keep(self, several: Iterable[Tracked]) -> None:
        """Others are gone."""
        self._read = {t: self._read[t] for t in several if t in self._read}

    def begin(self) -> None:
        """A step begins."""
        self._after_backward.clear()

    def backward_ended(self, several: Iterable[Tracked]) -> None:
        """They are complete, as far as this backward pass goes, and nobody has changed them."""
        keys, gradients = [], []
        for tracked in several:
            gradient = tracked.parameter.grad
            if gradient is not None:
                self._after_backward[tracked] = gradient, gradient._version
                keys.append(tracked.unclipped)
                gradients.append(gradient)
        if self.changed_before:
            self._collector.read_now(keys, gradients)

    def taken(self, mine: Sequence[Tracked]) -> None:
        """An optimiser steps by them."""
        changed, reused = False, self._reused
        after, read = self._after_backward.get, self._read
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
            read[tracked] = weakref.ref(gradient), version
            keys.append(tracked.gradient)
            gradients.append(gradient)
        self.changed_before, self._reused, self._known = changed, reused, True
        if self.read_at_once:
            self._collector.read_now(keys, gradients)
        else:
            self._collector.add_all(keys, gradients)

    def changed_after(self) -> None:
        """They were seen to change before they could be read."""
        self._reused = self.read_at_once = True

    def end(self) -> None:
        """A recorded step has ended: learns whether gradients were changed after they had been
        used."""
        for was, version in self._read.values():
            gradient = was()
            self._reused |= gradient is not None and gradient._version != version
        self.read_at_once = self._reused or not self._known
