"""How often a step is recorded, so that the probe stays within its share of the time."""

from __future__ import annotations

import math
import time
from collections import deque
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

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
LEFT = 0.5
"""Of the budget, that records may take up where what is done in every step has used up more."""
LATER = 0.3
"""The next record comes when a training has gone on for this much longer, however dear it is: one
of a few hundred quick steps would else be over before there is anything to judge it by."""
LOOKING = 0.5
"""Of the budget, that following the modules may take up in the steps that are not recorded."""
CACHE, CALLS = 1 << 18, 31
"""Numbers that fill a core's cache, and calls whose median says what a hook costs."""


@cache
def call_seconds() -> float:
    """What a global hook costs that only keeps a reference, a call: PyTorch's own longer way to it
    included, and the caches full of other things, as between the calls of a training. A few
    milliseconds, once; to be asked while no other global hook is there, which has its cost too."""
    module, kept, others = nn.Identity(), [], torch.zeros(CACHE)

    def seconds() -> float:
        found = []
        for _ in range(CALLS):
            others.sum()
            began = time.perf_counter()
            module(others)
            found.append(time.perf_counter() - began)
        return median(found)

    without = seconds()
    handle = register_module_forward_hook(lambda m, _, __, o: kept.append((m, o)), with_kwargs=True)
    try:
        return max(0.0, seconds() - without)
    finally:
        handle.remove()


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
        self.steps = self.recorded = self.looked_out = 0
        self._plain: deque[float] = deque(maxlen=33)
        self._recorded: deque[float] = deque(maxlen=17)
        self._after: deque[float] = deque(maxlen=17)
        """Steps behind a recorded one, beside which it is still being read and written."""
        self._own: deque[float] = deque(maxlen=33)
        """What of ``_plain`` was spent in the probe's own code, module hooks left out."""
        self._behind = False
        self._looking = 0.0
        """Seconds a step that following the modules costs."""
        self._call_seconds = 0.0 if every == 1 else call_seconds()
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

    def ended(
        self, number: int, seconds: float, recorded: bool, calls: int, size: int, own: float = 0.0
    ) -> None:
        """A step took so long, and ``own`` of it the probe's code in the training's thread;
        ``calls`` watched modules were called in it, if it followed them, whose outputs were
        ``size`` bytes together."""
        self.steps += 1
        self.recorded += recorded
        self.seconds += seconds
        self.own_seconds += own
        if number > 1:  # the first one compiles, allocates and learns
            kind = self._recorded if recorded else self._after if self._behind else self._plain
            kind.append(seconds)
        if not recorded:
            self._own.append(own)
        self._behind = recorded and self.every != 2  # else there would be no others
        if recorded or self.looks_out:
            self._looking = calls * self._call_seconds
            checking = 2 * (calls * CHECK_SECONDS + size / CHECK_BYTES)  # forward and going back
            self.checks = checking < seconds * self.budget * CHECK_SHARE
        self.looked_out += self.looks_out  # else it is a part of what a record costs beyond others
        if self.every is None:
            if min(len(self._plain), len(self._recorded), len(self._after)) >= ENOUGH:
                self._adapt()
            if recorded:
                later = max(FIRST + 1, math.ceil(LATER * number))
                self._next = number + min(self.interval, later)

    def _adapt(self) -> None:
        """By the steps so far: whether modules are followed between records, and how many steps
        there are. Records come out of what the rest leaves of the budget."""
        plain, own, extra = median(self._plain), median(self._own), self._extra
        bare = plain - own - (self._looking if self.looks_out else 0.0)
        allowed = self.budget * bare
        if self.looks_out is not (looks_out := self._looking < allowed * LOOKING):
            self.looks_out = looks_out
            self._plain.clear()  # steps of another kind from now on
            self._after.clear()
            self._own.clear()
        every_step = own + (self._looking if self.looks_out else 0.0)
        left = max(allowed - every_step, LEFT * allowed)
        wanted = math.ceil(extra / left) + 1 if left > 0 else LONGEST
        self.interval = min(max(wanted, FIRST + 1), LONGEST)

    @property
    def _extra(self) -> float:
        """Seconds that a record costs beyond a step without, the next step's share included."""
        plain = median(self._plain)
        after = median(self._after) if self._after else plain
        return max(0.0, median(self._recorded) - plain) + max(0.0, after - plain)

    def cost(self) -> dict[str, Any]:
        """What recording costs: seconds a step of either kind, and the share of the whole.

        ``share`` is told by comparing steps of both kinds; where all are recorded it is the time
        spent in the probe's own code, and ``measured`` says which.
        """
        plain = median(self._plain) if self._plain else None
        with_record = median(self._recorded) if self._recorded else None
        share, measured = None, "nothing yet"
        if plain is not None and with_record is not None and self.seconds:
            looking = self._looking * self.looked_out
            own = median(self._own) * self.steps
            share = (self._extra * self.recorded + looking + own) / self.seconds
            measured = "steps of both kinds"
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
