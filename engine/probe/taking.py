"""The gradients of parameters: after the backward pass, and as the optimiser takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.noted import Gradients, Noted
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
        self.now: list[Noted] = []
        """Those taken in this step, once an optimiser's step."""
        self._collector = collector
        self._after_backward: Gradients | None = None
        self._before: dict[Tracked, Noted] = {}
        """Those of earlier steps: the last of each set of parameters, by its first one."""
        self._known = self._reused = False

    def clear(self) -> None:
        """Lets go of everything."""
        self._after_backward = None
        self.now, self._before = [], {}

    def keep(self, several: Sequence[Tracked]) -> None:
        """Others are gone."""
        for noted in self._before.values():
            noted.keep(several)

    def begin(self) -> None:
        """A step begins."""
        self._after_backward, self.now = None, []

    def backward_ended(self, several: Iterable[Tracked]) -> None:
        """They are complete, as far as this backward pass goes, and nobody has changed them."""
        there = self._after_backward = Gradients(several)
        if self.changed_before:
            self._collector.read_now([t.unclipped for t in there.several], there.tensors)

    def taken(self, gradients: Gradients) -> None:
        """An optimiser steps by them."""
        after = self._after_backward
        self.changed_before = after is not None and not gradients.are(after)
        if not self._reused:
            self._before = {first: n for first, n in self._before.items() if not n.gone}
            known = (*self._before.values(), *self.now)
            self._reused = any(noted.shares(gradients) for noted in known)
        self.now.append(Noted(gradients))
        self._known = True
        keys = [tracked.gradient for tracked in gradients.several]
        if self.read_at_once:
            self._collector.read_now(keys, gradients.tensors)
        else:
            self._collector.add_all(keys, gradients.tensors, gradients.versions, gradients.table)

    def changed_after(self) -> None:
        """They were seen to change before they could be read."""
        self._reused = self.read_at_once = True

    def end(self) -> None:
        """A recorded step has ended: learns whether gradients were changed after they had been
        used."""
        self._before.update((noted.several[0], noted) for noted in self.now if noted.several)
        self._reused = self._reused or any(noted.written for noted in self._before.values())
        self.read_at_once = self._reused or not self._known
