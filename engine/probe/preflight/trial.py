"""A few steps of training on a deep copy, as the original would take them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from layerscope.engine.probe.again import random_state
from layerscope.engine.probe.preflight.batch import Batch

__all__ = ["ADAM_RATE", "STEPS", "Course", "Setup", "course", "learns_faster"]

STEPS = 20
ADAM_RATE = 1e-3
"""Adam's own default: what the steps are taken with where no optimiser is given."""
CLEARLY, FURTHER = 0.005, 0.1
"""Shares of the loss, and of its fall, by which one course has to end below another."""
LAST = 3
"""Losses at the end of a course that are averaged."""


@dataclass
class Setup:
    """All that a training begins with. What is done to a copy is done to nothing else."""

    model: nn.Module
    batch: Batch
    loss: Callable[..., Any]
    optimizer: Optimizer | None

    def copy(self) -> Setup:
        """A deep copy of what has state; parameters of the optimiser stay those of the model."""
        loss = self.loss if isinstance(self.loss, nn.Module) else None
        model, optimizer, own = copy.deepcopy((self.model, self.optimizer, loss))
        return Setup(model, self.batch, self.loss if own is None else own, optimizer)

    def stepping(self) -> Optimizer:
        """The optimiser, or Adam as it comes."""
        if self.optimizer is not None:
            return self.optimizer
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, ADAM_RATE)


@dataclass(frozen=True)
class Course:
    """The losses of some steps on one batch, before each and after the last."""

    losses: Sequence[float] = field(default_factory=list)
    error: str | None = None

    @property
    def first(self) -> float:
        return self.losses[0] if self.losses else math.nan

    @property
    def last(self) -> float:
        """The mean of the last ones; not finite where one of them is not."""
        end = self.losses[-LAST:]
        return math.fsum(end) / len(end) if end and all(map(math.isfinite, end)) else math.nan

    @property
    def held(self) -> bool:
        """Whether every loss is a number."""
        return self.error is None and bool(self.losses) and all(map(math.isfinite, self.losses))


def course(setup: Setup, steps: int = STEPS) -> Course:
    """Trains ``setup``, which is changed by it, from the random state of the moment."""
    losses: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = setup.loss(setup.batch.through(setup.model), setup.batch.target())
        value.backward()
        losses.append(float(value.detach()))
        return value  # type: ignore[no-any-return]

    with random_state():
        try:
            optimizer = setup.stepping()
            for _ in range(steps):
                optimizer.step(_first_only(closure, losses, len(losses)))
                if losses and not math.isfinite(losses[-1]):
                    break
            closure()
        except Exception as error:
            return Course(losses, f"{type(error).__name__}: {error}")
    return Course(losses)


def _first_only(
    closure: Callable[[], Tensor], losses: list[float], before: int
) -> Callable[[], Any]:
    """An optimiser that asks several times a step counts once."""

    def asked() -> Tensor:
        value = closure()
        del losses[before + 1 :]
        return value

    return asked


def learns_faster(after: Course, before: Course) -> bool:
    """Whether ``after`` falls, and ends clearly below ``before``."""
    if not after.held or not after.last < after.first:
        return False
    if not before.held:
        return True
    fell = max(0.0, before.first - before.last)
    return before.last - after.last > max(CLEARLY * abs(before.last), FURTHER * fell)
