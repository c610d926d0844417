"""Which parameters step by a gradient to which a backward pass has added after it was used.

A gradient is known by its object and version. Set to zero in place, or scaled by the user, it has
another version; set to zero behind PyTorch's back, as by ``p.grad.data.zero_()``, it has the same
one, so that the numbers are asked before anybody is accused: only those of gradients that seem to
have been left as they were, and those of an accelerator there, without waiting for it.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from layerscope.engine.probe.accelerator import Afar
from layerscope.engine.probe.noted import Noted
from layerscope.engine.probe.step import Step
from layerscope.engine.probe.watched import Tracked

__all__ = ["Staleness"]


class _Gradient(NamedTuple):
    """One as it was left, and not held: whoever sets it to nothing frees its memory."""

    tensor: weakref.ref[Tensor]
    version: int
    something: Tensor | None = None
    """Whether it held anything but zeros, where that lies on an accelerator."""

    @classmethod
    def of(cls, gradient: Tensor, something: Tensor | None = None) -> _Gradient:
        """As it is now."""
        return cls(weakref.ref(gradient), gradient._version, something)

    def is_still(self, gradient: Tensor | None) -> bool:
        """Whether ``gradient`` is this one, and nobody has changed it."""
        return (
            gradient is not None
            and self.tensor() is gradient
            and gradient._version == self.version
        )  # fmt: skip


class Staleness:
    """Follows the gradients from an optimiser's step, over the backward passes, to the next one."""

    def __init__(self, afar: Afar) -> None:
        self._afar = afar
        self._used: list[Noted] = []
        """Those by which the optimisers have stepped, in the last step and in this one."""
        self._left: dict[Tracked, _Gradient] = {}
        """What nobody has touched up to this backward pass, of these and of those below."""
        self._before: dict[Tracked, _Gradient] = {}
        """Those below, as this backward pass began."""
        self._added: dict[Tracked, _Gradient] = {}
        """Used ones to which a backward pass has added since."""
        self._stale: dict[Tracked, Tensor | None] = {}
        """What has stepped by one of these in this step."""

    def clear(self) -> None:
        """Lets go of everything."""
        self._used.clear()
        for held in (self._left, self._before, self._added, self._stale):
            held.clear()

    def begin(self, *, recorded: bool) -> None:
        """A step begins. Where it is not recorded, nobody asks for what was used before it."""
        self._stale.clear()
        if not recorded:
            self.clear()

    def keep(self, several: Collection[Tracked]) -> None:
        """Others are gone."""
        kept = list(several)
        for noted in self._used:
            noted.keep(kept)
        self._added = {t: self._added[t] for t in kept if t in self._added}

    def stepped(self, now: Noted) -> None:
        """An optimiser has stepped by these."""
        first = now.several[:1]
        self._used = [each for each in self._used if each.several[:1] != first]
        self._used.append(now)

    def backward_begins(self) -> None:
        """Gradients are about to be computed: what is there has been left, or changed since."""
        self._used = [noted for noted in self._used if not noted.gone]
        held = {t: g for noted in self._used for t, g in _there(noted)} | self._added
        self._left, self._before, self._added = {}, self._added, {}
        for tracked, before in held.items():
            gradient = tracked.parameter.grad
            if gradient is None or not before.is_still(gradient):
                continue
            something = _something(gradient)
            if self._afar.holds(gradient):
                if before.something is not None:
                    something = something & before.something
                self._left[tracked] = _Gradient.of(gradient, something)
            elif something:
                self._left[tracked] = _Gradient.of(gradient)

    def backward_ended(self) -> None:
        """Gradients have been added to what was there, unless one is what it was still: by this
        backward pass then only if by one before."""
        left, self._left = self._left, {}
        for tracked, before in left.items():
            gradient = tracked.parameter.grad
            if gradient is None:
                continue
            if not before.is_still(gradient):
                self._added[tracked] = _Gradient.of(gradient, before.something)
            elif tracked in self._before:
                self._added[tracked] = before
        self._before = {}

    def steps(self, mine: Sequence[Tracked]) -> None:
        """An optimiser is about to step by their gradients, which may have been clipped."""
        if self._added:
            for tracked in mine:
                added = self._added.pop(tracked, None)
                if added is not None and added.tensor() is tracked.parameter.grad:
                    self._stale[tracked] = added.something

    def tell(self, step: Step) -> None:
        """Puts into ``step`` how many parameters there are; those of an accelerator are added by
        the writing thread, before it writes the step."""
        there: dict[torch.device, list[Tensor]] = {}
        for something in self._stale.values():
            if something is None:
                step.stale += 1
            else:
                there.setdefault(something.device, []).append(something)
        for several in there.values():
            self._afar.number(torch.stack(several).sum(), partial(_add, step))


def _there(noted: Noted) -> Iterator[tuple[Tracked, _Gradient]]:
    """Those that have not been set to nothing."""
    for tracked, gradient, version in zip(
        noted.several, noted.tensors, noted.versions, strict=True
    ):
        if gradient is not None:
            yield tracked, _Gradient(weakref.ref(gradient), version)


def _add(step: Step, stale: float) -> None:
    step.stale += int(stale)


def _something(gradient: Tensor) -> Tensor:
    """Whether any entry is not zero: a tensor of one entry, on the gradient's device."""
    numbers = gradient.detach()
    return (numbers if numbers.layout is torch.strided else _entries(numbers)).any()


def _entries(numbers: Tensor) -> Tensor:
    return numbers._values() if numbers.layout is torch.sparse_coo else numbers.to_dense()
