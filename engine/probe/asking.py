"""The loss function as the probe calls it: what it was asked, and what it said."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from layerscope.engine.probe.constant import constant_loss
from layerscope.engine.probe.step import Task
from layerscope.engine.probe.task import broadcasts, task_of

__all__ = ["LEAST_SAMPLES", "AskedLoss"]

LEAST_SAMPLES = 8
"""The constant answer that is best for fewer fits their noise: of one sample it makes no error."""


class AskedLoss:
    """Remembers the last call of a step, until ``clear``; of its targets' ends all calls'."""

    def __init__(self, function: Callable[..., Any] | None) -> None:
        self.function = function
        self.given: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}
        self.value: Tensor | None = None
        self.task: Task | None = None
        """What it was asked, in a step that looks closer."""
        self.constant: float | None = None
        """What the best constant answer would have got there."""

    def clear(self) -> None:
        """A step has ended."""
        self.given, self.named = (), {}
        self.value = self.task = self.constant = None

    def looks(self, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """At a call that is about to be made. A loss that takes something else than an output and
        a target, or answers such questions with an error, stays unknown."""
        if self.function is None:
            return
        with contextlib.suppress(Exception):
            before, self.task = self.task, task_of(self.function, given, named)
            if before is not None and self.task is not None:
                _joined(before, self.task)
            if self.task is not None and _measures(self.task, given[1]):
                self.constant = constant_loss(self.function, *given, **named)

    def saw(self, given: tuple[Any, ...], named: dict[str, Any], value: Any) -> None:
        """A call has been made."""
        self.given, self.named = given, named
        self.value = value.detach() if isinstance(value, Tensor) else None
        if self.task is not None and self.value is not None and not self.task.own:
            with contextlib.suppress(Exception):
                self.task.entry_by_entry = broadcasts(self.value, *given[:2])


def _joined(before: Task, task: Task) -> None:
    """The ends of the targets of both calls into the later one."""
    for name, end in (("lowest", min), ("highest", max)):
        known = [each for t in (before, task) if (each := getattr(t, name)) is not None]
        setattr(task, name, end(known, default=None))


def _measures(task: Task, target: Tensor) -> bool:
    """Whether a constant answer has anything to get wrong: enough samples that are not all asked
    for the same, as a critic is of what is real."""
    if _samples(task) < LEAST_SAMPLES:
        return False
    return bool((target != target.flatten()[0]).any())


def _samples(task: Task) -> int:
    """How many answers a constant one is chosen by: whole numbers are classes, of positions too."""
    shape = task.target
    return math.prod(shape) if task.target_dtype.startswith("int") else shape[0] if shape else 1
