"""What the rules over a training look at: the recorded steps, and how the loss went."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from layerscope.engine.basis.median import median
from layerscope.engine.basis.text import without_exponents
from layerscope.engine.diagnosis.finding import Direction, Finding, Severity
from layerscope.engine.probe.facts import ModuleFacts, ParameterFacts
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.step import Group, MadeOf, Outline, Quantity

__all__ = ["BETTER", "FEW_STEPS", "SETTLED", "History", "Weight"]

FEW_STEPS = 8
"""Below these nothing is said of how a training goes."""
OLDEST, BETWEEN, NEWEST = 4, 12, 16
"""Recorded steps that are looked at: where it began, those looked at closely between, and the last
ones."""
FIRST = 3
"""Losses whose median is where a training began that has come far within some more."""
SETTLED = 30
"""Steps after which a loss should have come down."""
RECENT = 8
"""Recorded steps over which a median is taken."""
SHOT_UP = 2.0
"""Times the very first loss, by that median: then it is that one where the training began."""
SIGMAS = 3.0
"""Of the noise that an improvement must exceed."""
LEAST_GAIN = 0.02
"""Share of the first loss that an improvement must exceed too."""
AROUND = 0.05
"""Of the constant predictor's loss: so near it is about there."""
GREW = 10.0
"""Times the first loss: one that is far above it."""
BEYOND = 2.0
"""Times the size of the first losses, where they may be below zero: further than they reached."""
WELL = 0.5
"""Of what it began with, or of the constant predictor's loss: below that a training fares well."""
BETTER = 0.9
"""Of the constant predictor's loss: below that something has been learned."""


@dataclass(frozen=True)
class Weight:
    """A parameter with a name, and where its figures are."""

    module: ModuleFacts
    name: str
    place: int
    facts: ParameterFacts

    @property
    def full_name(self) -> str:
        """As ``named_parameters`` has it."""
        return f"{self.module.name}.{self.name}".lstrip(".")


@dataclass(frozen=True)
class History:
    """A training so far: ``steps`` recorded and still in memory, ``losses`` of all of the last
    ones by number, ``first`` those of the very first."""

    facts: Sequence[ModuleFacts]
    steps: Sequence[Outline]
    losses: Sequence[tuple[int, float]]
    first: Sequence[float]
    has_optimizer: bool = True

    @classmethod
    def of(cls, ring: Ring, has_optimizer: bool) -> History:
        """What a ring holds, as much of it as rules look at."""
        return cls(
            ring.facts,
            ring.outlines(OLDEST, BETWEEN, NEWEST),
            list(ring.losses),
            list(ring.first_losses),
            has_optimizer,
        )

    @property
    def number(self) -> int:
        """Of the newest step that is known of, by its loss or its record."""
        return max([0, *(n for n, _ in self.losses[-1:]), *(s.number for s in self.steps[-1:])])

    @cached_property
    def recent(self) -> Sequence[Outline]:
        """The last recorded steps."""
        return self.steps[-RECENT:]

    @cached_property
    def first_loss(self) -> float | None:
        """What the training began with: the median of its first losses, of only the very first
        where these had come down already."""
        finite = [v for v in self.first[: self._width] if math.isfinite(v)]
        if not finite:
            return None
        # One that shot up from the first has not begun up there.
        several, very_first = median(finite), min(finite[0], median(finite[:FIRST]))
        shot_up = several > SHOT_UP * very_first > 0
        return very_first if several < WELL * very_first or shot_up else several

    @property
    def began_at(self) -> float | None:
        """The very first finite loss: an exploding one is far above it within a few steps."""
        return next((v for v in self.first if math.isfinite(v)), None)

    @cached_property
    def last_loss(self) -> float | None:
        """Where it is now."""
        finite = [v for _, v in self.losses[-self._width :] if math.isfinite(v)]
        return median(finite) if finite else None

    @property
    def _width(self) -> int:
        return min(16, max(3, len(self.losses) // 4))

    @cached_property
    def noise(self) -> float:
        """The losses' standard deviation from one step to the next, without any trend."""
        values = [v for _, v in self.losses if math.isfinite(v)]
        jumps = [abs(b - a) for a, b in pairwise(values)]
        return median(jumps) / 0.954 if jumps else 0.0  # of |N(0, 2σ²)|: 0.954 σ

    @cached_property
    def baseline(self) -> float | None:
        """The constant predictor's loss, over the recorded batches that tell it."""
        known = [s.baseline for s in self.steps if s.baseline is not None]
        return median(known) if known else None

    @property
    def too_early(self) -> str | None:
        """Why nothing can be said of how it goes yet."""
        if len(self.losses) >= FEW_STEPS:
            return None
        return f"after {len(self.losses)} steps it is too early; {FEW_STEPS} can tell"

    @cached_property
    def learns(self) -> bool:
        """Whether the loss has fallen beyond its noise, or is below the constant predictor's."""
        first, last = self.first_loss, self.last_loss
        if first is None or last is None or self.too_early:
            return False
        if self.baseline is not None and last < BETTER * self.baseline and last < first:
            return True
        if not self._gained(first, last):
            return False
        # Whoever has come down to the constant answer from above, and stays there, has not.
        return (
            self.baseline is None
            or last < self.baseline * (1 - LEAST_GAIN)
            or (last < self.baseline * (1 + AROUND) and self.falls)
        )

    def _gained(self, before: float, after: float) -> bool:
        """Whether one median of losses is below another, beyond what noise makes of them."""
        noise = SIGMAS * self.noise / math.sqrt(self._width)
        return before - after > max(noise, LEAST_GAIN * abs(before))

    @cached_property
    def falls(self) -> bool:
        """Whether the loss has fallen over the later half of the steps that are known of."""
        later = [v for _, v in self.losses if math.isfinite(v)][len(self.losses) // 2 :]
        begin = later[: max(1, len(later) // 3)]
        return bool(begin) and self._gained(median(begin), self.last_loss or 0.0)

    @cached_property
    def fares_well(self) -> bool:
        """Whether it learns, and has left the larger part of the loss behind."""
        first, last = self.first_loss, self.last_loss
        if not self.learns or first is None or last is None:
            return False
        return last < WELL * min(first, first if self.baseline is None else self.baseline)

    @cached_property
    def signed(self) -> bool:
        """Whether the loss was below zero among the first: what it is measures no distance, and may
        rise as a training goes well, as a critic's does when the generator learns."""
        return any(v < 0 for v in self.first if math.isfinite(v))

    @cached_property
    def rises(self) -> bool:
        """Whether the loss is well above where it began."""
        first, last = self.first_loss, self.last_loss
        if first is None or last is None or self.too_early:
            return self.broke
        noise = SIGMAS * self.noise / math.sqrt(self._width)
        return last - first > max(noise, BEYOND * self._begun if self.signed else 0.2 * abs(first))

    @property
    def _begun(self) -> float:
        """How large the first losses were."""
        finite = [abs(v) for v in self.first if math.isfinite(v)]
        return (max(finite) if self.signed else finite[0]) if finite else 0.0

    @property
    def broke(self) -> bool:
        """Whether the loss is not finite any more."""
        return bool(self.losses) and not math.isfinite(self.losses[-1][1])

    @cached_property
    def grew(self) -> bool:
        """Whether the last finite loss is far above the first."""
        finite = [v for v in (*self.first, *(v for _, v in self.losses)) if math.isfinite(v)]
        return bool(finite) and finite[-1] > GREW * (self._begun or abs(finite[0]))

    @property
    def hinders(self) -> bool:
        """Whether what a network may do without has had time to show, and it has not come far."""
        return self.number >= SETTLED and not self.fares_well

    @cached_property
    def last_module(self) -> ModuleFacts | None:
        """The one that was called last, by its first call."""
        return next((f for f in reversed(self.facts) if f.shape), None)

    @cached_property
    def made_of(self) -> MadeOf | None:
        """The loss, by the newest graph of it that was read."""
        return next((s.made_of for s in reversed(self.steps) if s.made_of), None)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """How the optimisers were set up, as last looked at."""
        return next((s.groups for s in reversed(self.steps) if s.groups), ())

    def weights(self) -> Iterator[Weight]:
        """Every parameter, each once, in forward order."""
        for facts in self.facts:
            yield from self.weights_of(facts)

    def weights_of(self, facts: ModuleFacts) -> Iterator[Weight]:
        """A module's own parameters, without those that an earlier one has."""
        for place, (name, about) in enumerate(facts.parameters.items()):
            if about.tied_to is None:
                yield Weight(facts, name, place, about)

    def median_ratio(self, weight: Weight) -> float | None:
        """rms(Δw)/rms(w) over the recent steps; None where the weight is not known or zero."""
        ratios = [
            r for s in self.recent
            if (r := s.update_ratio(weight.module.index, weight.place)) is not None
        ]  # fmt: skip
        return median(ratios) if ratios else None

    def recorded(self, weight: Weight, quantity: Quantity) -> bool:
        """Whether one of its figures was recorded in any step, finite or not."""
        place = weight.module.index, quantity, weight.place
        return any(s.of(*place) is not None for s in self.steps)

    def seen(self, weight: Weight, quantity: Quantity) -> list[tuple[int, float]]:
        """rms of one of its figures by step, where it was recorded."""
        found = [(s.number, s.of(weight.module.index, quantity, weight.place)) for s in self.steps]
        return [(n, each.rms) for n, each in found if each is not None and each.rms is not None]

    def finding(
        self,
        rule: str,
        severity: Severity,
        where: Sequence[ModuleFacts],
        *,
        title: str,
        explanation: str,
        evidence: dict[str, Any],
        threshold: dict[str, Any],
        since: int | None,
        fix: str | None = None,
        direction: Direction = "both",
    ) -> Finding:
        """A finding about modules, with the lines of code that help."""
        places = [f.index for f in where] or [0]
        evidence = {
            **evidence, "steps": self.number, "first_loss": self.began_at,
            "last_loss": self.last_loss, "constant_loss": self.baseline,
        }  # fmt: skip
        return Finding(
            rule=rule, severity=severity, title=without_exponents(title),
            explanation=without_exponents(explanation),
            direction=direction, modules=tuple(dict.fromkeys(f.name for f in where)),
            layers=(min(places), max(places)), blocks=(0, 0), evidence=evidence,
            threshold=threshold, since=since, fix=None if fix is None else {"code": fix},
        )  # fmt: skip
