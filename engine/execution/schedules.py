"""How a learning rate goes over a training: a factor by how far it has come."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from layerscope.engine.basis.registry import Registry

__all__ = ["SCHEDULES", "Schedule", "constant", "cosine", "factor", "linear", "steps"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """``function`` of the share of the training that lies behind, 0 ≤ progress < 1."""

    function: Callable[[float], float]
    formula: str
    source: str
    help: str

    @property
    def name(self) -> str:
        return self.function.__name__


SCHEDULES: Registry[Schedule] = Registry("schedule")
schedule = SCHEDULES.decorator(Schedule)


@schedule(formula="η", source="", help="The same learning rate throughout.")
def constant(progress: float) -> float:  # noqa: ARG001
    """Always 1."""
    return 1.0


@schedule(
    formula="η·(1 + cos πp)/2", source="Loshchilov & Hutter 2017",
    help="Falls slowly, then quickly, then slowly to zero.",
)  # fmt: skip
def cosine(progress: float) -> float:
    """Half a wave, from 1 to 0."""
    return (1 + math.cos(math.pi * progress)) / 2


@schedule(formula="η·(1 − p)", source="", help="Falls evenly to zero.")
def linear(progress: float) -> float:
    """From 1 to 0."""
    return 1 - progress


@schedule(
    formula="η, η/10 from half on, η/100 from three quarters on", source="He et al. 2016",
    help="A tenth of it at half of the steps, and again at three quarters.",
)  # fmt: skip
def steps(progress: float) -> float:
    """1, then 0.1, then 0.01."""
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


def factor(name: str, step: int, of: int, warm_up: int = 0) -> float:
    """What the learning rate of ``step``, from 1, is multiplied with in a training ``of`` so many.

    The first ``warm_up`` steps rise to it evenly.

    >>> [factor("linear", step, 4, warm_up=2) for step in (1, 2, 3, 4)]
    [0.5, 0.75, 0.5, 0.25]
    """
    rising = min(1.0, step / warm_up) if warm_up else 1.0
    return rising * SCHEDULES[name].function((step - 1) / of)
