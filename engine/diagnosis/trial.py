"""The experiment itself, tried: whether a scale that is found wrong keeps it from learning.

A pass sees that a gradient is a thousand times too small; that Adam divides its scale out is seen
only where it trains.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from msgspec.structs import replace

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.learning import OPTIMIZERS, few_samples, training_bytes
from layerscope.engine.diagnosis.roots import every
from layerscope.engine.diagnosis.rule import RULES
from layerscope.engine.execution.cost import Cost, here, passes_flops
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.execution.steps import KeptNetwork, training
from layerscope.engine.experiment.specification import Experiment

__all__ = [
    "MOST_PASSES", "RATES", "STEPS", "Attempt", "Trial", "after_trial", "is_tried", "trial_cost",
    "try_experiment",
]  # fmt: skip

SAMPLES = 128  # of the batch: of few a network learns more than it could of all
STEPS = 150
RATES: Mapping[str, tuple[float, ...]] = {"Adam": (0.001, 0.01), "SGD": (0.01, 0.1)}
SHARE = 0.8
"""Of the loss of the best constant output, or of the first loss where that is less: what comes
below has learned more than the targets' mean."""
LASTING = 5
"""So many losses, to the last, must be that low: networks without a signal come down for some steps
and lose it again."""
COMING = 0.97
"""Of the same: what has come below that by then has as many steps again, once for each optimiser.
All of these were chosen with the whole corpus in view: none of it is held out."""
MOST_PASSES = sum(len(rates) * (STEPS + 1) + STEPS for rates in RATES.values())
DIVERGED = 100.0  # times the first loss: no use to go on
WITHOUT_STATISTICS = 0.6
"""Of the price of a pass, which counts statistics that a training does without: as measured, 0.5 at
the median of the corpus and less where it takes long."""
BUDGET_FLOPS = 1_400_000_000_000
"""For the whole trial, at typical prices: 50 layers of 100 units are just tried."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One short training, of so many ``steps``: the loss ``before`` the first, ``after`` the last,
    and the ``lowest`` on the way."""

    optimizer: str
    rate: float
    steps: int
    before: float
    after: float
    lowest: float
    learned: bool

    def to_dict(self) -> dict[str, Any]:
        """As on the wire: what is no finite number is null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """Short trainings of the experiment, with Adam and with SGD, at usual rates until one of them
    learned; ``constant`` is the loss of the best constant output for the same ``samples``."""

    samples: int
    constant: float
    attempts: tuple[Attempt, ...]

    def learned(self, optimizer: str) -> bool:
        """Whether it did with this one, at any rate."""
        return any(made.learned for made in self.attempts if made.optimizer == optimizer)

    @property
    def learns(self) -> bool:
        """Whether it did with either."""
        return any(map(self.learned, RATES))

    @property
    def text(self) -> str:
        """What was tried and came of it, in words and figures."""
        plural = "s" * (self.samples != 1)
        return f"Tried on {self.samples} sample{plural}: {self._outcome}."

    @property
    def _outcome(self) -> str:
        one, other = sorted(RATES, key=self.learned, reverse=True)
        if not self.learns:
            return f"neither {one} ({self._how(one)}) nor {other} ({self._how(other)}) learns"
        also = "learns too" if self.learned(other) else "does not"
        return f"{one} learns ({self._how(one)}), {other} {also} ({self._how(other)})"

    def _how(self, optimizer: str) -> str:
        made = [a for a in self.attempts if a.optimizer == optimizer]
        last = made[-1]
        if last.learned:
            return (
                f"rate {last.rate:g}: loss {last.before:.3g} → {last.after:.3g} in "
                f"{last.steps} steps"
            )
        rates = listed([f"{a.rate:g}" for a in made], len(made))
        goal = SHARE * min(last.before, self.constant)
        steps = max(STEPS, *(a.steps for a in made))
        return f"rates {rates}: not kept below {goal:.3g} in {steps} steps"

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "samples": self.samples,
            "constant_loss": self.constant,
            "steps": STEPS,
            "share": SHARE,
            "learned": {name: self.learned(name) for name in RATES},
            "attempts": [made.to_dict() for made in self.attempts],
        }


def is_tried(findings: Sequence[Finding]) -> bool:
    """Whether a trial can change what was found: there are errors, all of them of a scale."""
    errors = [RULES[f.rule] for f in every(findings) if f.severity == "error" and f.rule in RULES]
    return bool(errors) and all(rule.of_scale for rule in errors)


def try_experiment(
    experiment: Experiment, findings: Sequence[Finding], should_stop: ShouldStop = never
) -> Trial | None:
    """The trial of an experiment of which this was found; None where it could change nothing, would
    take too much, or there is no loss to get below.

    >>> from layerscope.engine.diagnosis.diagnose import diagnose
    >>> from layerscope.engine.diagnosis.gathering import gather
    >>> small = Experiment(depth=5, width=32, batch=32, init_scale=0.1)
    >>> tried = try_experiment(small, diagnose(gather(small)))
    >>> tried.learned("Adam"), tried.learned("SGD")
    (True, False)
    """
    if not is_tried(findings) or not trial_cost(experiment).flops:
        return None
    network = KeptNetwork(experiment, SAMPLES)
    constant = network.loss.baseline(network.target)
    samples = len(network.target)
    del network
    if not 0 < constant < math.inf:
        return None
    attempts: list[Attempt] = []
    for optimizer, rates in RATES.items():
        most = 2 * STEPS
        for rate in rates:
            made = _attempt(experiment, optimizer, rate, constant, most, should_stop)
            if not math.isfinite(made.before):
                return None
            attempts.append(made)
            if made.learned:
                break
            if made.steps > STEPS:
                most = STEPS
    return Trial(samples, constant, tuple(attempts))


def _attempt(
    experiment: Experiment, optimizer: str, rate: float, constant: float, most: int,
    should_stop: ShouldStop,
) -> Attempt:  # fmt: skip
    network = KeptNetwork(experiment, SAMPLES)
    losses = training(network, OPTIMIZERS[optimizer](rate), should_stop=should_stop)
    first = loss = lowest = next(losses)
    start = min(first, constant)
    last, taken = deque([first], LASTING), 0
    learned = False
    for loss in islice(losses, most):
        taken += 1
        last.append(loss)
        lowest = min(lowest, loss)
        if not loss <= DIVERGED * max(first, constant):
            break
        if taken in (STEPS, 2 * STEPS):
            learned = all(each < SHARE * start for each in last)
            if learned or loss > COMING * start:
                break
    return Attempt(optimizer, rate, taken, first, loss, lowest, learned)


def after_trial(findings: Sequence[Finding], trial: Trial) -> list[Finding]:
    """The findings in the light of a trial, in the same order: what was an error says what was
    tried, and is a warning where the network learned."""
    return [_told(f, trial) if f.severity == "error" else f for f in findings]


def _told(finding: Finding, trial: Trial) -> Finding:
    lowered = _lowered(finding) if trial.learns else finding
    return replace(lowered, explanation=f"{finding.explanation} {trial.text}")


def _lowered(finding: Finding) -> Finding:
    severity = "warning" if finding.severity == "error" else finding.severity
    below = [_lowered(f) for f in finding.consequences]
    return replace(finding, severity=severity, consequences=below)


def trial_cost(experiment: Experiment) -> Cost:
    """What the trial takes at most, at this machine's prices; nothing where, at typical ones, that
    is more than it is worth."""
    small = few_samples(experiment, SAMPLES)
    typical = int(WITHOUT_STATISTICS * MOST_PASSES * passes_flops(small, TYPICAL))
    if typical > BUDGET_FLOPS:
        return Cost(0, 0)
    return Cost(here(typical, small), training_bytes(small))
