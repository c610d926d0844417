"""How often a step is recorded, so that the probe stays within its share of the time."""

from __future__ import annotations

import math
import timeit
from collections import deque
from functools import cache
from typing import Any

from torch import nn

from layerscope.engine.basis.median import median

__all__ = ["Pace", "call_seconds"]

FIRST = 2
"""Steps left out between two recorded ones, as long as a budget has nothing to go by: both kinds
have to be timed first."""
ENOUGH = 3
"""Steps of a kind whose median says how long it takes: one alone may have been held up."""
CHECK_SECONDS, CHECK_BYTES = 2e-6, 8e9
"""What a look at a tensor for NaN costs: a call, and bytes read a second (measured, one core)."""
CHECK_SHARE = 0.4
"""Of the budget, that such looks may take up."""
LONGEST = 10_000
"""Steps between two recorded ones, however dear a record is."""


@cache
def call_seconds() -> float:
    """What a hook costs that only keeps a reference, a call: PyTorch's own way to it included."""
    module, kept = nn.Identity(), []

    def call() -> None:
        module(1)

    without = min(timeit.repeat(call, number=100, repeat=3))
    handle = module.register_forward_hook(lambda m, i, o: kept.append((m, o)))
    with_hook = min(timeit.repeat(call, number=100, repeat=3))
    handle.remove()
    return max(0.0, with_hook - without) / 100


class Pace:
    """Decides which steps are recorded: every ``every``-th, or as ``budget`` (a share of the step
    time) allows. Steps are timed from one end to the next, whatever the user's loop does."""

    def __init__(self, every: int | None, budget: float) -> None:
        self.every = every
        self.budget = budget
        self.interval = every or FIRST + 1
        self.looks_out = True
        """Whether modules are followed in the steps between, so that a NaN has its module."""
        self.checks = True
        """Whether every module's output is held against NaN and infinities as it is made."""
        self.seconds = 0.0
        """Of all steps so far."""
        self.own_seconds = 0.0
        """Spent in the probe's own code in the training's thread, where it can be told apart."""
        self.steps = self.recorded = self.calls = 0
        self._plain: deque[float] = deque(maxlen=33)
        self._recorded: deque[float] = deque(maxlen=17)
        self._next = 1

    def records(self, number: int) -> bool:
        """Whether step ``number``, counted from 1, is to be recorded."""
        if self.every is not None:
            return (number - 1) % self.every == 0
        return number >= self._next

    def records_after(self, number: int) -> bool:
        """Whether the step behind step ``number``, which is the next to end, is to be recorded: by
        a budget never two in a row."""
        return self.records(number + 1) and (self.every is not None or not self.records(number))

    def ended(self, number: int, seconds: float, recorded: bool, calls: int, size: int) -> None:
        """A step took so long; ``calls`` watched modules were called in it, whose outputs were
        ``size`` bytes together."""
        self.steps += 1
        self.recorded += recorded
        self.calls += calls
        self.seconds += seconds
        if number > 1:  # the first one compiles, allocates and learns
            (self._recorded if recorded else self._plain).append(seconds)
        checking = 2 * (calls * CHECK_SECONDS + size / CHECK_BYTES)  # forward and going back
        self.checks = checking < seconds * self.budget * CHECK_SHARE
        if self.every is None:
            if min(len(self._plain), len(self._recorded)) >= ENOUGH:
                self._adapt(calls)
            if recorded:
                self._next = number + self.interval

    def _adapt(self, calls: int) -> None:
        plain = median(self._plain)
        looking = calls * call_seconds()
        allowed = self.budget * plain
        self.looks_out = looking < allowed * 0.8
        extra = median(self._recorded) - plain
        left = allowed - (looking if self.looks_out else 0.0)
        wanted = math.ceil(max(extra, 0.0) / left) + 1 if left > 0 else LONGEST
        self.interval = min(max(wanted, 2), LONGEST)

    def cost(self) -> dict[str, Any]:
        """What recording costs: seconds a step of either kind, and the share of the whole.

        ``share`` is told by comparing steps of both kinds; where all are recorded it is the time
        spent in the probe's own code, and ``measured`` says which.
        """
        plain = median(self._plain) if self._plain else None
        with_record = median(self._recorded) if self._recorded else None
        share, measured = None, "nothing yet"
        if plain is not None and with_record is not None and self.seconds:
            extra = max(0.0, with_record - plain) * self.recorded
            looking = self.calls * call_seconds() if self.looks_out else 0.0
            share, measured = (extra + looking) / self.seconds, "steps of both kinds"
        elif self.seconds:
            share, measured = self.own_seconds / self.seconds, "its own code"
        return {
            "steps": self.steps,
            "recorded": self.recorded,
            "interval": self.interval,
            "step_seconds": plain,
            "recorded_step_seconds": with_record,
            "share": share,
            "measured": measured,
            "budget": self.budget if self.every is None else None,
            "looks_out": self.looks_out,
        }
