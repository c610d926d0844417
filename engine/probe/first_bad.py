"""Watches out for the first value of a training that is not finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

from layerscope.engine.probe.asking import AskedLoss
from layerscope.engine.probe.hooks import Call, ModuleHooks
from layerscope.engine.probe.origin import (
    backward_origin,
    forward_origin,
    late_origin,
    loss_origin,
    run_again,
)
from layerscope.engine.probe.outputs import has_parameters
from layerscope.engine.probe.step import Origin, Quantity
from layerscope.engine.probe.watched import Key, Tracked, Watched
from layerscope.engine.statistics.device import all_here, is_here
from layerscope.engine.statistics.finite import nonfinite_places

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

    def in_call(self, call: Call, modules: ModuleHooks) -> None:
        """An output is not finite."""
        if self.origin is None:
            self._began(forward_origin(self._number(), call, len(modules.calls) == 1))

    def before_update(self, mine: Sequence[Tracked], modules: ModuleHooks) -> None:
        """Before an optimiser's step: bad gradients are seen while the parameters are good yet."""
        if self.origin is not None:
            return
        with_gradient = [tracked for tracked in mine if tracked.parameter.grad is not None]
        gradients = [g for tracked in with_gradient if (g := tracked.parameter.grad) is not None]
        if not all_here(gradients):  # an accelerator would be waited for: there it is seen later
            with_gradient = [t for t, g in zip(with_gradient, gradients, strict=True) if is_here(g)]
            gradients = [g for g in gradients if is_here(g)]
        bad = nonfinite_places(gradients)
        if not bad and modules.bad_gradient is None:
            return
        again = self._of_a_mask(modules) if modules.checks else self._again(modules)
        said = self._loss.value
        if again is None and said is not None and said.numel() == 1:
            again = self._of_the_loss(float(said))
        self._began(
            again
            or backward_origin(
                self._number(), modules.bad_gradient, [with_gradient[i] for i in bad],
                modules.calls,
            )
        )  # fmt: skip

    def examine(self, loss: float | None, modules: ModuleHooks) -> None:
        """The loss of a step is known."""
        if loss is not None and self.origin is None and not math.isfinite(loss):
            known = self._of_a_mask(modules) if modules.checks else self._again(modules)
            origin = known or self._of_the_loss(loss)
            if origin is not None:
                self._began(origin)

    def in_figures(self, step: int, bad: Sequence[Key], loss: float | None) -> Origin | None:
        """What nobody saw as it was made, told by the figures of a recorded step; then the tensors
        are gone, and no operands can be named. Of the writing thread."""
        lost = loss is not None and not math.isfinite(loss)
        if not lost and _all_of_masks(bad, self._watched):
            return None
        if self.origin is None and (bad or lost):
            self._began(late_origin(step, bad, loss))
            return self.origin
        return None

    def _of_the_loss(self, loss: float) -> Origin | None:
        """None where it is finite."""
        if math.isfinite(loss):
            return None
        asked = self._loss
        return loss_origin(self._number(), loss, asked.function, asked.given, asked.named)

    def _of_a_mask(self, modules: ModuleHooks) -> Origin | None:
        """What looked like one, and has led to what is not finite."""
        call = modules.masked
        return call and forward_origin(self._number(), call, len(modules.calls) == 1)

    def _again(self, modules: ModuleHooks) -> Origin | None:
        """The forward pass once more, where nobody looked at every output."""
        with contextlib.suppress(Exception):  # a model that can't be copied, or called twice
            return modules.given and run_again(self._number(), self._watched, modules.given)
        return None

    def _began(self, origin: Origin) -> None:
        self.origin = self.new = origin


def _all_of_masks(bad: Sequence[Key], watched: Watched) -> bool:
    """Whether it ends where it began: in the outputs of modules without parameters, and what is
    made of these is finite."""
    last = watched.order[-1] if watched.order else None
    return all(
        key.quantity is Quantity.ACTIVATION and key.leaf is not last
        and not has_parameters(key.leaf.module)
        for key in bad
    )  # fmt: skip
