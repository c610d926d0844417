"""From the recorded steps to findings."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from layerscope.engine.diagnosis import RULES, Evidence, Finding
from layerscope.engine.diagnosis.diagnose import follows, found_by
from layerscope.engine.diagnosis.roots import rooted
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.rules import TRAINING_RULES
from layerscope.engine.probe.step import Origin, Outline, Quantity

__all__ = ["Verdicts", "nonfinite"]


DRIFT = 64
"""Steps over which the drift towards the first NaN is followed back."""
GREW = 10.0
"""A module's output that has grown by this factor before it broke had been on its way there."""


class Verdicts:
    """What is found in the steps of a ``ring``; each step is judged by itself only once."""

    def __init__(self, ring: Ring, *, has_optimizer: bool = True) -> None:
        self._ring = ring
        self._has_optimizer = has_optimizer
        self._of_step: dict[int, list[Finding]] = {}
        """What the rules of one pass say, by the step's number."""
        self._first_bad: dict[int, Finding] = {}
        """About the first NaN, by its step's number."""
        self._since: dict[str, int] = {}
        """By rule: since which step what held when last asked had held."""

    def findings(self, origin: Origin | None) -> list[Finding]:
        """Everything found, most severe first, with the step since which it has held: where the
        first NaN came from, the rules over the training, and those of one pass on the newest step
        that was looked at closely. What one finding explains stands under it; a symptom of a
        network that learns all the same is a note."""
        history = History.of(self._ring, self._has_optimizer)
        looked = [step.number for step in history.steps if step.looked]
        found: list[Finding] = []
        if looked:
            found += [f for rule in TRAINING_RULES.values() if (f := rule.find(history))]
        if origin is not None:
            found.append(self._nonfinite(origin))
        symptoms = self._of_one_pass(looked) if looked else []
        if not history.learns:
            return rooted(_once([*found, *symptoms]), _explains)
        notes = {f.rule: replace(f, severity="info") for f in symptoms}
        known = {id(notes[f.rule]): f for f in symptoms}  # a note now can have caused the rest
        return rooted(
            _once([*found, *notes.values()]),
            lambda cause, effect: _explains(known.get(id(cause), cause), effect),
        )

    def _nonfinite(self, origin: Origin) -> Finding:
        known = self._first_bad.get(origin.step)
        if known is None:
            steps = self._ring.outlines(0, 0, DRIFT)
            known = nonfinite(self._ring.facts, steps, origin)
            if any(step.number >= origin.step for step in steps):  # all before it are there
                self._first_bad[origin.step] = known
        return known

    def _of_one_pass(self, looked: Sequence[int]) -> list[Finding]:
        for number in set(self._of_step) - set(looked):
            self._of_step.pop(number, None)
        found = self._by_itself(looked[-1])
        since = {f.rule: looked[-1] for f in found}
        broken: dict[str, int] = {}
        ahead = set(since)
        for number in reversed(looked[:-1]):
            if not ahead:
                break
            here = {f.rule for f in self._by_itself(number)}
            broken.update(dict.fromkeys(ahead - here, number))
            ahead &= here
            since.update(dict.fromkeys(ahead, number))
        # What has held since before the steps that are still looked at was told when it began.
        for rule, before in self._since.items():
            if rule in since and broken.get(rule, 0) < before:
                since[rule] = min(since[rule], before)
        self._since = since
        return [replace(f, since=since[f.rule]) for f in found]

    def _by_itself(self, number: int) -> list[Finding]:
        known = self._of_step.get(number)
        if known is None:
            step = self._ring.step(number)
            records = step.records(self._ring.facts) if step is not None else []
            if step is None or not records:
                return []
            untrained = number <= 1
            known = found_by(Evidence(records, step.loss, step.baseline, untrained=untrained))
            self._of_step[number] = known
        return known


def _explains(cause: Finding, effect: Finding) -> bool:
    if effect.rule in SILENCE and cause.rule in SILENT:
        return True
    if cause.rule in TRAINING_RULES:
        return effect.rule in TRAINING_RULES[cause.rule].explains
    # Where the first NaN came from is known by itself, whatever the newest step looks like.
    return cause.rule in RULES and effect.rule in RULES and follows(cause, effect)


SILENT = frozenset({"dead_units", "vanishing_activation", "symmetry", "saturation", "nonfinite"})
SILENCE = frozenset({"constant_output", "learning_rate_low"})
"""What follows where no signal passes: one answer for all, and nothing to learn from."""


def _once(found: Sequence[Finding]) -> list[Finding]:
    """The first finding of each rule."""
    return list({f.rule: f for f in reversed(found)}.values())[::-1]


def nonfinite(facts: Sequence[ModuleFacts], steps: Sequence[Outline], origin: Origin) -> Finding:
    """The finding about an origin, with who had been drifting there and since when."""
    about = next((f for f in facts if f.name == origin.module), None)
    if about is None:  # it came up in the loss: what went into it is the last output
        about = next((f for f in reversed(facts) if f.shape), None)
    at = about.index if about is not None else 0
    drift = _drift(steps, at, origin.step)
    words = f"In step {origin.step}: {origin.what}."
    if origin.operands:
        words += f" {origin.operands}."
    if drift is not None:
        since, was, now = drift
        whose = "its output" if origin.module is not None else f"the output of {_named(about)}"
        words += f" The rms of {whose} had been growing since step {since}, from {was:.3g} "
        words += f"to {now:.3g}."
    if origin.where:
        words += f" Called at {origin.where}."
    where = "the loss" if origin.module is None else origin.module or _named(about)
    made = {"forward": "in", "backward": "going back at", "optimizer": "by the optimiser in"}
    return Finding(
        rule="nonfinite",
        severity="error",
        title=f"The first non-finite value comes up {made.get(origin.direction, 'in')} {where}",
        explanation=words,
        direction="backward" if origin.direction == "backward" else "forward",
        modules=() if origin.module is None else (origin.module,),
        layers=(at, at),
        blocks=(0, 0),
        evidence={
            **origin.evidence, "operands": origin.operands, "where": origin.where,
            "made_by": origin.direction,
            "drift_since": drift and drift[0],
        },
        threshold={"nonfinite_entries": 0},
        since=origin.step,
    )  # fmt: skip


def _named(facts: ModuleFacts | None) -> str:
    """In words; a model that is a module of its own has no name."""
    return "the model" if facts is None else facts.name or facts.kind


def _drift(steps: Sequence[Outline], module: int, until: int) -> tuple[int, float, float] | None:
    """Since when a module's output had grown without a break, from what to what."""
    series = [
        (step.number, s.rms)
        for step in steps
        if step.number <= until and (s := step.of(module, Quantity.ACTIVATION)) and s.rms
        and s.finite == s.count
    ]  # fmt: skip
    if len(series) < 2:
        return None
    begin = len(series) - 1
    while begin and series[begin - 1][1] < series[begin][1]:
        begin -= 1
    (since, was), (_, now) = series[begin], series[-1]
    return (since, was, now) if now >= GREW * was else None
