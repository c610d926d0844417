"""The gradients of several parameters, and what they were at one moment.

Every question is asked of all at once: in a loop each would cost more than its answer.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat
from operator import attrgetter, call, is_, is_not

from torch import Tensor

from layerscope.engine.probe.watched import Tracked
from layerscope.engine.statistics.device import all_here
from layerscope.engine.statistics.many import Words, ordinary_table

__all__ = ["Gradients", "Noted"]

_version = attrgetter("_version")


class Gradients:
    """Those of some parameters, as far as there are any now. They are held: not to be kept."""

    def __init__(self, several: Iterable[Tracked]) -> None:
        pairs = [(t, g) for t in several if (g := t.parameter.grad) is not None]
        self.several = [t for t, _ in pairs]
        self.tensors = [g for _, g in pairs]
        self.versions = list(map(_version, self.tensors))

    @cached_property
    def table(self) -> Words | None:
        """How compiled code reads them; None where it can't read all as they lie."""
        return (
            ordinary_table(self.tensors, None, subtracts=False) if all_here(self.tensors) else None
        )

    def are(self, other: Gradients) -> bool:
        """Whether all are those of ``other``, and nobody has written into them."""
        if self.several == other.several:
            same = all(map(is_, self.tensors, other.tensors))
            return same and self.versions == other.versions
        then = {t: (g, v) for t, g, v in zip(*other.all, strict=True)}
        return all(
            t not in then or (then[t][0] is g and then[t][1] == v)
            for t, g, v in zip(*self.all, strict=True)
        )

    @property
    def all(self) -> tuple[list[Tracked], list[Tensor], list[int]]:
        """Whose they are, they, and how often each has been written."""
        return self.several, self.tensors, self.versions


class Noted:
    """Gradients as they were: which objects, and how often each had been written. They are not
    held: whoever sets one to nothing frees its memory."""

    def __init__(self, gradients: Gradients, before: Noted | None = None) -> None:
        """``before``: an earlier note, of the very same gradients perhaps."""
        self.several = gradients.several
        self.versions = gradients.versions
        self._references: list[weakref.ref[Tensor]] = (
            before._references if before is not None and before.shares_all(gradients)
            else list(map(weakref.ref, gradients.tensors))
        )  # fmt: skip

    @property
    def tensors(self) -> list[Tensor | None]:
        """The same objects; None for one that is gone."""
        return list(map(call, self._references))

    @property
    def gone(self) -> bool:
        """Whether none of them is there any more."""
        return not any(map(is_not, self.tensors, repeat(None)))

    @property
    def written(self) -> bool:
        """Whether one that is still there has been written since."""
        return any(
            now is not None and now._version != version
            for now, version in zip(self.tensors, self.versions, strict=True)
        )

    def shares_all(self, gradients: Gradients) -> bool:
        """Whether these are the same objects, all of them."""
        same = self.several == gradients.several
        return same and all(map(is_, self.tensors, gradients.tensors))

    def shares(self, gradients: Gradients) -> bool:
        """Whether one of these is the object that it was."""
        if self.several == gradients.several:
            return any(map(is_, self.tensors, gradients.tensors))
        then = dict(zip(self.several, self.tensors, strict=True))
        return any(
            then.get(t) is g for t, g in zip(gradients.several, gradients.tensors, strict=True)
        )  # fmt: skip

    def keep(self, several: Sequence[Tracked]) -> None:
        """Others are gone."""
        kept = set(several)
        places = [place for place, tracked in enumerate(self.several) if tracked in kept]
        if len(places) < len(self.several):
            self.several = [self.several[place] for place in places]
            self.versions = [self.versions[place] for place in places]
            self._references = [self._references[place] for place in places]
