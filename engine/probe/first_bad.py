"""Watches out for the first value of a training that is not finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.calls import Call
from layerscope.engine.probe.graph.made_in_loss import explained, in_loss
from layerscope.engine.probe.hooks import ModuleHooks
from layerscope.engine.probe.noted import Gradients
from layerscope.engine.probe.origin import (
    backward_origin,
    forward_origin,
    late_origin,
    loss_origin,
    run_again,
)
from layerscope.engine.probe.outputs import main_tensor
from layerscope.engine.probe.step import Origin
from layerscope.engine.probe.watched import Key, Tracked, Watched
from layerscope.engine.statistics.device import is_here
from layerscope.engine.statistics.finite import nonfinite_places, nonfinite_rows

__all__ = ["FirstBad"]


class FirstBad:
    """Says where it came from, once; what is not finite after it follows from it.

    Outputs are seen as they are made where ``modules.checks`` says so. Elsewhere gradients are,
    before an optimiser's step, and the loss, and then the forward pass is run again on a copy.
    """

    def __init__(self, watched: Watched, loss: AskedLoss, number: Callable[[], int]) -> None:
        self.origin: Origin | None = None
        self.new: Origin | None = None
        """The same until a step that is written has told it."""
        self._watched = watched
        self._loss = loss
        self._number = number

    def told(self) -> Origin | None:
        """What is new; from then on it is not."""
        new, self.new = self.new, None
        return new

    def in_call(self, call: Call) -> None:
        """An output is not finite."""
        if self.origin is None:
            self._began(forward_origin(self._number(), call))

    def before_update(self, gradients: Gradients | None, modules: ModuleHooks) -> None:
        """Before an optimiser's step: bad gradients are seen while the parameters are good yet."""
        if self.origin is not None:
            return
        bad = [] if gradients is None else _bad(gradients)
        if not bad and modules.bad_gradient is None:
            return
        again = self._in_forward(modules)
        said = self._loss.value
        if again is None and said is not None and said.numel() == 1:
            again = self._of_the_loss(float(said), modules)
        self._began(
            again
            or backward_origin(
                self._number(), modules.bad_gradient, bad, modules.calls
            )
        )  # fmt: skip

    def examine(self, loss: float | None, modules: ModuleHooks, given: Any = None) -> None:
        """The loss of a step is known; ``given``: as the user gave it, for its graph."""
        if loss is not None and self.origin is None and not math.isfinite(loss):
            origin = self._in_forward(modules) or self._of_the_loss(loss, modules)
            if origin is not None:
                self._began(origin)
        if self.new is not None and self.new.step == self._number() and _from_loss(self.new):
            made = in_loss(given)
            if made is not None:
                self._began(explained(self.new, made))

    def in_figures(
        self, step: int, bad: Sequence[Key], loss: float | None, *, masked: bool
    ) -> Origin | None:
        """What nobody saw as it was made, told by the figures of a recorded step; then the tensors
        are gone, and no operands can be named. ``masked``: beside what is ``bad`` there are minus
        infinities of healthy masks. Of the writing thread."""
        lost = loss is not None and not math.isfinite(loss)
        if self.origin is None and (bad or lost):
            self._began(late_origin(step, bad, loss, masked=masked))
            return self.origin
        return None

    def _of_the_loss(self, loss: float, modules: ModuleHooks) -> Origin | None:
        """None where it is finite."""
        if math.isfinite(loss):
            return None
        asked = self._loss
        return loss_origin(
            self._number(), loss, asked.function, asked.given, asked.named,
            masked=modules.masks.seen,
        )  # fmt: skip

    def _in_forward(self, modules: ModuleHooks) -> Origin | None:
        """A call that the checks have not told: the forward pass runs once more where nobody looked
        at every output. What looked like a mask is to blame where it has reached the end."""
        masks = modules.masks
        if not modules.checks and modules.given:
            with contextlib.suppress(Exception):  # a model that can't be copied, or called twice
                call = run_again(self._watched, modules.given, masks)
                if call is not None:
                    return forward_origin(self._number(), call)
        if masks.call is None:
            return None
        ends = [t.detach() for t in (main_tensor(self._loss.given), masks.left) if t is not None]
        return forward_origin(self._number(), masks.call) if nonfinite_places(ends) else None

    def _began(self, origin: Origin) -> None:
        self.origin = self.new = origin


def _from_loss(origin: Origin) -> bool:
    """Whether nothing has come between the loss and what was seen of it."""
    if origin.direction == "loss":
        return True
    return origin.direction == "backward" and "gradient before" not in origin.evidence


def _bad(gradients: Gradients) -> list[Tracked]:
    """Whose gradients hold a NaN or an infinity; of those on an accelerator, which would be waited
    for, it is seen later."""
    if gradients.table is not None:
        return [gradients.several[place] for place in nonfinite_rows(gradients.table)]
    here = [(t, g) for t, g in zip(gradients.several, gradients.tensors, strict=True) if is_here(g)]
    return [here[place][0] for place in nonfinite_places([g for _, g in here])]
