"""A call of a watched module, and which one to name for a value that is not finite."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from layerscope.engine.probe.outputs import has_figures, is_mask, tensors
from layerscope.engine.probe.watched import Leaf
from layerscope.engine.statistics.finite import nonfinite_places

__all__ = ["Call", "Masks"]


class Call(NamedTuple):
    """One call of a watched module."""

    leaf: Leaf
    inputs: tuple[Any, ...]
    named: dict[str, Any]
    output: Tensor
    line: str | None
    first: bool
    """Of the step: what came in is the data."""


class Masks:
    """Tells minus infinities that a mask puts in, and a softmax takes out, from what is bad, over
    the calls of one step in their order."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A step begins, or has ended: no tensor of it is held."""
        self.call: Call | None = None
        """With which minus infinities came in; None again once a module has taken them and has
        given what is finite."""
        self.left: Tensor | None = None
        """What the model itself has given since."""
        self.seen = False
        """Whether there was any."""
        self._last: Tensor | None = None
        """Of the modules that have passed them on the last one's output."""

    def named_for(self, call: Call) -> Call | None:
        """The call to be named for one whose output is not finite; None where that is a mask's.

        A mask is to blame only where what this call was given was not finite either: whatever made
        a NaN out of finite numbers did so by itself. To be asked where no gradients are kept.
        """
        came_bad = self.call is not None and self._came_bad(call)
        if not is_mask(call.leaf.module, call.output):
            return self.call if came_bad else call
        if not came_bad:
            self.call, self.left = call, None
        self.seen, self._last = True, call.output
        return None

    def passed(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """A call has given what is finite."""
        if self.call is not None and self._takes(inputs, named):
            self.call = self.left = self._last = None

    def _takes(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Whether a mask's output is what goes in."""
        return any(each is self._last for each in tensors((inputs, named)))

    def _came_bad(self, call: Call) -> bool:
        if self._takes(call.inputs, call.named):
            return True
        # What is changed in place has become what it is since it came in.
        given = [t for t in tensors((call.inputs, call.named)) if t is not call.output]
        return bool(nonfinite_places([t.detach() for t in given if has_figures(t)]))
