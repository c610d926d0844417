"""Up the ladder: every rung on the same weights and the same batch, compared with the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from layerscope.engine.basis.cancellation import ShouldStop, Stopped, never
from layerscope.engine.basis.cores import on_cores
from layerscope.engine.basis.text import dtype_name
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.ladder.auto_module import AUTO_MODULE, forgotten
from layerscope.engine.foundations.ladder.autograd_function import AUTOGRAD_FUNCTION
from layerscope.engine.foundations.ladder.base import GRADIENTS, Attempt, Rung, Source, problem
from layerscope.engine.foundations.ladder.classes import CLASSES
from layerscope.engine.foundations.ladder.functions import FUNCTIONS
from layerscope.engine.foundations.ladder.layer_function import LAYER_FUNCTION
from layerscope.engine.foundations.ladder.mistake import Mistake, mistake
from layerscope.engine.foundations.ladder.module import MODULE
from layerscope.engine.foundations.ladder.sequential import SEQUENTIAL
from layerscope.engine.foundations.record import Record

__all__ = [
    "LIMITS", "RUNGS", "Agreement", "Ladder", "LadderLimits", "RungResult", "climb", "ladder",
]  # fmt: skip

TIME = 0.3  # s, for repeating forward and backward of all rungs
SAMPLES = 51
FEWEST = 2  # rounds, of which the first does not count
TOLERANCE = 100  # roundings of the largest entry: sums in other orders, and no more

RUNGS: dict[str, Rung] = {
    rung.name: rung
    for rung in (
        FUNCTIONS, CLASSES, LAYER_FUNCTION, AUTOGRAD_FUNCTION, MODULE, SEQUENTIAL, AUTO_MODULE,
    )
}  # fmt: skip
"""In the notes' order; the first is what the others are held against."""


@dataclass(frozen=True, slots=True)
class LadderLimits:
    """Bounds, checked before anything is allocated: all rungs then take about two seconds."""

    batch: int = 512
    """The mistake makes a table of its square."""
    n_in: int = 512
    n_hidden: int = 512
    seed: int = 2**53 - 1

    def check(self, batch: int, n_in: int, n_hidden: int, seed: int) -> None:
        """Raise ``ValueError``, or `LimitError` for what is too large."""
        for name, value in (("batch", batch), ("n_in", n_in), ("n_hidden", n_hidden)):
            if value < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")
            if value > getattr(self, name):
                raise LimitError(name, getattr(self, name), value)
        if not 0 <= seed <= self.seed:
            raise ValueError(f"seed is {seed}; expected 0 to {self.seed}")


LIMITS = LadderLimits()


@dataclass(frozen=True, slots=True)
class Agreement(Record):
    """One rung against the first in one number format."""

    dtype: str
    loss: float
    loss_difference: float
    differences: dict[str, float]
    """Largest absolute difference of each gradient."""
    largest: float
    """Of these."""
    relative: float
    """The largest difference over the largest entry of the same gradient of the first rung."""
    agrees: bool
    """Every gradient within rounding of the first rung's."""


@dataclass(frozen=True, slots=True)
class RungResult(Record):
    """One rung, run."""

    name: str
    title: str
    index: int
    gain: str
    cost: str
    sources: tuple[Source, ...]
    lines: int
    """Of source shown."""
    float64: Agreement
    float32: Agreement
    forward_seconds: float
    """Median, float32, on one core."""
    backward_seconds: float
    samples: int


@dataclass(frozen=True, slots=True)
class Ladder(Record):
    """All of it."""

    batch: int
    n_in: int
    n_hidden: int
    seed: int
    rungs: tuple[RungResult, ...]
    agree: bool
    """All rungs, in both number formats."""
    mistake: Mistake
    forgotten: str
    """What torch says to a module whose ``super().__init__()`` was forgotten."""


def climb(
    batch: int = 200,
    n_in: int = 100,
    n_hidden: int = 50,
    seed: int = 0,
    *,
    limits: LadderLimits = LIMITS,
    should_stop: ShouldStop = never,
) -> tuple[RungResult, ...]:
    """Every rung, each held against the first.

    Errors:
        ``ValueError`` or `LimitError` before anything is allocated; `Stopped` between two runs
        once ``should_stop()`` is true.

    >>> [rung.float64.agrees for rung in climb(20, 10, 5)]
    [True, True, True, True, True, True, True]
    """
    limits.check(batch, n_in, n_hidden, seed)
    problems = {d: problem(batch, n_in, n_hidden, seed, d) for d in (torch.float64, torch.float32)}
    first = {dtype: _once(FUNCTIONS.start(each)) for dtype, each in problems.items()}
    compared = []
    for rung in RUNGS.values():
        if should_stop():
            raise Stopped
        compared.append(
            {d: _agreement(d, _once(rung.start(p)), first[d]) for d, p in problems.items()}
        )
    times = _times([rung.start(problems[torch.float32]) for rung in RUNGS.values()], should_stop)
    return tuple(
        _result(rung, index, compared[index], times[index])
        for index, rung in enumerate(RUNGS.values())
    )


def _result(
    rung: Rung,
    index: int,
    compared: dict[torch.dtype, Agreement],
    times: tuple[list[float], list[float]],
) -> RungResult:
    sources = rung.sources
    return RungResult(
        name=rung.name,
        title=rung.title,
        index=index,
        gain=rung.gain,
        cost=rung.cost,
        sources=sources,
        lines=sum(source.code.count("\n") + 1 for source in sources),
        float64=compared[torch.float64],
        float32=compared[torch.float32],
        forward_seconds=float(np.median(times[0])),
        backward_seconds=float(np.median(times[1])),
        samples=len(times[0]),
    )


def ladder(
    batch: int = 200,
    n_in: int = 100,
    n_hidden: int = 50,
    seed: int = 0,
    *,
    limits: LadderLimits = LIMITS,
    should_stop: ShouldStop = never,
) -> Ladder:
    """Every rung and the mistake; arguments and errors as `climb`."""
    rungs = climb(batch, n_in, n_hidden, seed, limits=limits, should_stop=should_stop)
    return Ladder(
        batch=batch,
        n_in=n_in,
        n_hidden=n_hidden,
        seed=seed,
        rungs=rungs,
        agree=all(rung.float64.agrees and rung.float32.agrees for rung in rungs),
        mistake=mistake(problem(batch, n_in, n_hidden, seed)),
        forgotten=forgotten(),
    )


def _once(attempt: Attempt) -> tuple[float, dict[str, Tensor]]:
    with on_cores(1):
        loss = attempt.forward()
        attempt.backward()
    return loss.item(), {name: tensor.double() for name, tensor in attempt.gradients().items()}


def _agreement(
    dtype: torch.dtype,
    found: tuple[float, dict[str, Tensor]],
    first: tuple[float, dict[str, Tensor]],
) -> Agreement:
    rounding = torch.finfo(dtype).eps
    differences, relative, agrees = {}, 0.0, True
    for name in GRADIENTS:
        reference = first[1][name]
        difference = float((found[1][name] - reference).abs().max())
        size = float(reference.abs().max())
        differences[name] = difference
        relative = max(relative, difference / size if size else float(difference > 0))
        # Not "not … >": a NaN must not pass for agreement.
        agrees = agrees and difference <= TOLERANCE * rounding * size
    loss_difference = abs(found[0] - first[0])
    return Agreement(
        dtype=dtype_name(dtype),
        loss=found[0],
        loss_difference=loss_difference,
        differences=differences,
        largest=max(differences.values()),
        relative=relative,
        agrees=agrees and loss_difference <= TOLERANCE * rounding * abs(first[0]),
    )


def _times(
    attempts: Sequence[Attempt], should_stop: ShouldStop
) -> list[tuple[list[float], list[float]]]:
    # Round after round, not one rung after the other: whatever else the machine does meets all.
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in attempts]
    spent = 0.0
    rounds = 0
    while rounds <= SAMPLES and (spent < TIME or rounds < FEWEST):
        for attempt, (forward, backward) in zip(attempts, times, strict=True):
            if should_stop():
                raise Stopped
            with on_cores(1):
                started = perf_counter()
                attempt.forward()
                between = perf_counter()
                attempt.backward()
                ended = perf_counter()
            spent += ended - started
            if rounds:  # the first round of all pays for what torch sets up
                forward.append(between - started)
                backward.append(ended - between)
        rounds += 1
    return times
