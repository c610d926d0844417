"""The experiment itself, tried: whether a scale that is found wrong keeps it from learning.

A pass sees that a gradient is a thousand times too small; that Adam divides its scale out is seen
only where it trains. So is that outputs fifty times too large are more than it gets over.
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
    "try_experiment", "will_be_tried",
]  # fmt: skip

SAMPLES = 128  # of the batch: of few a network learns more than it could of all
STEPS = 150
RATES: Mapping[str, tuple[float, ...]] = {"Adam": (0.001, 0.01, 0.0001), "SGD": (0.01, 0.1)}
SHARE = 0.8
"""Of the loss of the best constant output, or of the first loss where that is less: what comes
below has learned more than the targets' mean."""
STUCK = 0.9
"""Of the same: what stays above, and is not on its way below, has learned nothing. Of what ends
between the two, or still comes down, nothing is known."""
LASTING = 5
"""So many losses, to the last, must be that low: networks without a signal come down for some steps
and lose it again."""
PACED = 100
"""From this step to the last a pace is taken: of the rates with which at the same one it would have
learned after as many steps again, the one that has come lowest has them, once for each optimiser.
All of these were chosen with the half of the corpus in view by which thresholds are."""
HALVED = 2.0 ** (-STEPS / (STEPS - PACED))
"""What comes to this at its pace was halved while that was taken: above the constant output's loss
such a training has as many steps again too, where none would have learned."""
MOST_PASSES = sum(len(rates) * (STEPS + 1) + STEPS for rates in RATES.values())
DIVERGED = 100.0  # times the first loss: no use to go on
WITHOUT_STATISTICS = 0.6
"""Of the price of a pass, which counts statistics that a training does without: as measured, 0.5 at
the median of the corpus and less where it takes long."""
BUDGET_FLOPS = 1_700_000_000_000
"""For the whole trial, at typical prices: 50 layers of 100 units are just tried."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One short training, of so many ``steps``: the loss ``before`` the first, ``after`` the last,
    the ``lowest`` on the way, and the ``forecast``, where it would be after ``STEPS`` more at the
    pace of the last: infinite where it no longer fell."""

    optimizer: str
    rate: float
    steps: int
    before: float
    after: float
    lowest: float
    learned: bool
    forecast: float = math.inf

    def to_dict(self) -> dict[str, Any]:
        """As on the wire: what is no finite number is null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """Short trainings of the experiment, with Adam and with SGD, at usual rates until one of them
    learned; ``constant`` is the loss of the best constant output for the same ``samples``, and
    ``dtype`` the number format in which it was tried."""

    samples: int
    constant: float
    attempts: tuple[Attempt, ...]
    dtype: str = "float32"

    def learned(self, optimizer: str) -> bool:
        """Whether it did with this one, at any rate."""
        return any(made.learned for made in self.attempts if made.optimizer == optimizer)

    @property
    def learns(self) -> bool:
        """Whether it did with either."""
        return any(map(self.learned, RATES))

    @property
    def stuck(self) -> bool:
        """Whether it came to nothing with both."""
        goals = [STUCK * min(made.before, self.constant) for made in self.attempts]
        ends = [(made.after, made.forecast) for made in self.attempts]
        return not any(min(end) < goal for end, goal in zip(ends, goals, strict=True))

    @property
    def text(self) -> str:
        """What was tried and came of it, in words and figures."""
        plural = "s" * (self.samples != 1)
        return f"Tried on {self.samples} sample{plural} in {self.dtype}: {self._outcome}."

    @property
    def _outcome(self) -> str:
        one, other = sorted(RATES, key=self.learned, reverse=True)
        if not self.learns:
            return f"neither {one} ({self._how(one)}) nor {other} ({self._how(other)}) learns"
        also = "learns too" if self.learned(other) else "does not"
        return f"{one} learns ({self._how(one)}), {other} {also} ({self._how(other)})"

    def _how(self, optimizer: str) -> str:
        made = [a for a in self.attempts if a.optimizer == optimizer]
        for won in made:
            if won.learned:
                return (
                    f"rate {won.rate:g}: loss {won.before:.3g} → {won.after:.3g} in "
                    f"{won.steps} steps"
                )
        rates = listed([f"{a.rate:g}" for a in made], len(made))
        goal = SHARE * min(made[0].before, self.constant)
        steps = max(STEPS, *(a.steps for a in made))
        return f"rates {rates}: not kept below {goal:.3g} in {steps} steps"

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "samples": self.samples,
            "dtype": self.dtype,
            "constant_loss": self.constant,
            "steps": STEPS,
            "share": SHARE,
            "learned": {name: self.learned(name) for name in RATES},
            "attempts": [made.to_dict() for made in self.attempts],
        }


def is_tried(findings: Sequence[Finding]) -> bool:
    """Whether a trial can change what was found: something at warning or above is of a scale, and
    no error is of anything else."""
    told = [f for f in every(findings) if f.severity != "info" and f.rule in RULES]
    others = [f for f in told if f.severity == "error" and not RULES[f.rule].of_scale]
    return not others and any(RULES[f.rule].of_scale for f in told)


def will_be_tried(experiment: Experiment, findings: Sequence[Finding]) -> bool:
    """Whether a trial of the experiment, of which this was found, is worth its time; it may still
    come to nothing, where there is no loss to get below."""
    return is_tried(findings) and _affordable(experiment) is not None


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
    tried = _affordable(experiment) if is_tried(findings) else None
    if tried is None:
        return None
    network = KeptNetwork(tried, SAMPLES)
    constant = network.loss.baseline(network.target)
    samples = len(network.target)
    del network
    if not 0 < constant < math.inf:
        return None
    attempts: list[Attempt] = []
    for optimizer, rates in RATES.items():
        under_way = []
        for rate in rates:
            one = _Training(tried, optimizer, rate, constant, should_stop)
            if not math.isfinite(one.first):
                return None
            under_way.append(one)
            one.goes_on()
            if one.learned:
                break
        else:
            promising = [each for each in under_way if each.is_promising]
            if promising:
                min(promising, key=lambda each: (each.forecast >= each.goal, each.loss)).goes_on()
        attempts += [each.attempt for each in under_way]
    return Trial(samples, constant, tuple(attempts), tried.dtype)


class _Training:
    """An attempt under way."""

    def __init__(
        self, experiment: Experiment, optimizer: str, rate: float, constant: float,
        should_stop: ShouldStop,
    ) -> None:  # fmt: skip
        self._optimizer, self._rate, self._constant = optimizer, rate, constant
        network = KeptNetwork(experiment, SAMPLES)
        self._losses = training(network, OPTIMIZERS[optimizer](rate), should_stop=should_stop)
        self.first = self.loss = self._lowest = next(self._losses)
        self._highest = DIVERGED * max(self.first, constant)
        self._last, self._taken = deque([self.first], LASTING), 0
        self.goal = SHARE * min(self.first, constant)
        self.learned = False
        self.forecast = math.inf
        """The loss after ``STEPS`` more, at the pace of the last."""

    def goes_on(self) -> None:
        """For ``STEPS`` more; ends before where nothing can come of it."""
        self.forecast, before = math.inf, math.inf
        for place, loss in enumerate(islice(self._losses, STEPS), 1):
            self.loss, self._lowest = loss, min(self._lowest, loss)
            self._taken += 1
            self._last.append(loss)
            if not loss <= self._highest:
                return
            if place == PACED:
                before = max(self._last)
        now = max(self._last)
        self.learned, self.forecast = now < self.goal, _forecast(before, now)

    @property
    def is_promising(self) -> bool:
        """Whether it may yet learn: at its pace, or since it comes down from far above faster than
        any pace could be told from."""
        falls = self.loss > self._constant and self.forecast < self.loss * HALVED
        return self.forecast < self.goal or falls

    @property
    def attempt(self) -> Attempt:
        """What has come of it so far."""
        return Attempt(
            self._optimizer, self._rate, self._taken, self.first, self.loss, self._lowest,
            self.learned, self.forecast,
        )  # fmt: skip


def _forecast(before: float, now: float) -> float:
    """Where a loss that came from ``before``, at step ``PACED``, to ``now`` in ``STEPS`` is after
    as many steps again, at the same pace; infinite where it does not fall."""
    falls = 0 < now < before < math.inf
    return now * (now / before) ** (STEPS / (STEPS - PACED)) if falls else math.inf


def after_trial(findings: Sequence[Finding], trial: Trial) -> list[Finding]:
    """The findings in the light of a trial, in the same order: what is of a scale says what was
    tried, and is a warning where the network learned, an error where it came to nothing."""
    return [_told(f, trial) if f.severity != "info" and _of_scale(f) else f for f in findings]


def _of_scale(finding: Finding) -> bool:
    return any(f.rule in RULES and RULES[f.rule].of_scale for f in every([finding]))


def _told(finding: Finding, trial: Trial) -> Finding:
    judged = finding
    if trial.learns:
        judged = _lowered(finding)
    elif trial.stuck:
        judged = replace(finding, severity="error")
    return replace(judged, explanation=f"{finding.explanation} {trial.text}")


def _lowered(finding: Finding) -> Finding:
    severity = "warning" if finding.severity == "error" else finding.severity
    below = [_lowered(f) for f in finding.consequences]
    return replace(finding, severity=severity, consequences=below)


def _affordable(experiment: Experiment) -> Experiment | None:
    """What is tried: the experiment or, where its narrow format takes too long, the same in
    float32, since what the format loses is another rule's; None where that does too."""
    twin = experiment.model_copy(update={"dtype": "float32"})
    return next((e for e in (experiment, twin) if _typical(e) <= BUDGET_FLOPS), None)


def _typical(experiment: Experiment) -> int:
    passes = MOST_PASSES * passes_flops(few_samples(experiment, SAMPLES), TYPICAL)
    return int(WITHOUT_STATISTICS * passes)


def trial_cost(experiment: Experiment) -> Cost:
    """What the trial takes at most, at this machine's prices; nothing where, at typical ones, that
    is more than it is worth."""
    tried = _affordable(experiment)
    if tried is None:
        return Cost(0, 0)
    small = few_samples(tried, SAMPLES)
    under_way = max(map(len, RATES.values()))
    return Cost(here(_typical(tried), small), under_way * training_bytes(small))
