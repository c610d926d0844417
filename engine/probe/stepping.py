"""Around the optimisers' steps: gradients as they see them, and what they do to the parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from layerscope.engine.probe.accelerator import Afar
from layerscope.engine.probe.aside import Aside
from layerscope.engine.probe.collecting import Collector
from layerscope.engine.probe.hooks import Mode
from layerscope.engine.probe.noted import Gradients, Noted
from layerscope.engine.probe.staleness import Staleness
from layerscope.engine.probe.taking import ParameterGradients
from layerscope.engine.probe.watched import Tracked, Watched
from layerscope.engine.probe.writing import Writer

__all__ = ["OptimizerHooks"]


class OptimizerHooks:
    """Follows the steps of the given optimisers by PyTorch's global hooks, filtered by id.

    ``before`` is called before every step of one of them, with its parameters' gradients; with None
    where these are computed within it.
    """

    def __init__(
        self,
        watched: Watched,
        collector: Collector,
        writer: Writer,
        afar: Afar,
        failed: Callable[[BaseException], None],
        before: Callable[[Gradients | None], None],
    ) -> None:
        self.mode = Mode.OFF
        self.taken = 0
        """Optimiser steps since the last step of the probe."""
        self.seconds = 0.0
        """Spent here since then."""
        self.learning_rates: list[float] = []
        self.late_rates: list[tuple[Tensor, Callable[[float], None]]] = []
        """Those on an accelerator, and what is told their numbers."""
        self.aside = Aside(watched, writer, afar)
        self.gradients = ParameterGradients(collector)
        self.staleness = Staleness(afar)
        self._watched = watched
        self._afar = afar
        self._failed = failed
        self._before = before
        self._ids = {id(optimizer) for optimizer in watched.optimizers}
        self._stepped: set[int] = set()
        self._changes = watched.changes
        self._notes = False
        """Whether the step after this one is recorded, so that its gradients are noted."""
        self._handles = (
            register_optimizer_step_pre_hook(self._pre),
            register_optimizer_step_post_hook(self._post),
        )

    def remove(self) -> None:
        """Leaves no hook anywhere."""
        self.mode = Mode.OFF
        for handle in self._handles:
            handle.remove()
        self.aside.clear()
        self.gradients.clear()
        self.staleness.clear()

    def begin(self, mode: Mode, *, next_recorded: bool) -> None:
        """A step begins: of one that is recorded the parameters are read, and put aside."""
        recorded = mode is Mode.RECORD
        self.mode = mode
        self._notes = next_recorded
        self.taken, self.seconds = 0, 0.0
        self.gradients.begin()
        self.staleness.begin(recorded=recorded)
        if self._changes != self._watched.changes:
            self._changes = self._watched.changes
            tracked = list(self._watched.tracked.values())
            self.gradients.keep(tracked)
            self.staleness.keep(tracked)
        if recorded:
            self.aside.put_all()

    def end(self) -> None:
        """The step has ended."""
        if self.mode is Mode.RECORD:
            self.gradients.end()

    def backward_begins(self) -> None:
        """Gradients are about to be computed."""
        if self.mode is Mode.RECORD:
            self.staleness.backward_begins()

    def backward_ended(self) -> None:
        """Gradients are complete, as far as this backward pass goes, and nobody changed them."""
        if self.mode is Mode.RECORD:
            self.staleness.backward_ended()
            self.gradients.backward_ended(self._watched.tracked.values())

    def unstepped(self) -> tuple[int, ...]:
        """Groups, counted over all optimisers, of those that have never taken a step."""
        if len(self._stepped) == len(self._ids):
            return ()
        owners = [o for o in self._watched.optimizers for _ in o.param_groups]
        return tuple(n for n, owner in enumerate(owners) if id(owner) not in self._stepped)

    def _mine(self, optimizer: Optimizer) -> list[Tracked]:
        known = self._watched.tracked
        return [
            known[id(p)] for group in optimizer.param_groups for p in group["params"]
            if id(p) in known
        ]  # fmt: skip

    def _pre(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.mode or id(optimizer) not in self._ids:
            return
        began = time.perf_counter()
        self._stepped.add(id(optimizer))
        closure = _has_closure(args, kwargs)
        try:
            mine = self._mine(optimizer)
            gradients = None if closure else Gradients(mine)  # with one they are yet to come
            self.aside.wait()
            self._before(gradients)
            self._rates()
            if self.mode is Mode.RECORD:
                self.aside.renew(mine)
                if gradients is not None:
                    self._takes(gradients)
        except Exception as error:
            self._failed(error)
        self.seconds += time.perf_counter() - began

    def _post(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not self.mode or id(optimizer) not in self._ids:
            return
        self.taken += 1
        recorded = self.mode is Mode.RECORD
        if not recorded and not self._notes:
            return
        began = time.perf_counter()
        try:
            gradients = Gradients(self._mine(optimizer))
            if recorded:
                if _has_closure(args, kwargs):
                    self._takes(gradients)
                self.aside.updates(gradients.several)
            if self._notes:
                taken = self.gradients.now
                self.staleness.stepped(Noted(gradients, taken[-1] if taken else None))
        except Exception as error:
            self._failed(error)
        self.seconds += time.perf_counter() - began

    def _takes(self, gradients: Gradients) -> None:
        self.staleness.steps(gradients.several)
        self.gradients.taken(gradients)

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


def _has_closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return any(callable(a) for a in (*args, *kwargs.values()))
