"""From the recorded steps to findings."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from layerscope.engine.diagnosis import RULES, Evidence, Finding
from layerscope.engine.diagnosis.diagnose import found_by
from layerscope.engine.diagnosis.finding import SEVERITIES
from layerscope.engine.diagnosis.roots import Explains, rooted
from layerscope.engine.probe.causes import (
    FADES,
    OVERFLOWS,
    SILENT,
    began,
    leads_to,
    of_targets,
    of_zeros,
)
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import FEW_STEPS, History
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.rules import TRAINING_RULES
from layerscope.engine.probe.standing import stands_still
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
        self._start: list[Finding] = []
        """What the rules of the start say of the first step."""
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
        broke = origin is not None and history.broke
        if origin is not None and broke:
            looked = [number for number in looked if number < origin.step] or looked
        symptoms = self._of_one_pass(looked) if looked else []
        if not broke:  # how it started stands, however far the steps since have come
            known_now = {f.rule for f in symptoms}
            symptoms += [f for f in self._start if f.rule not in known_now]
        if {f.rule for f in symptoms} & (SILENT | FADES):
            found = [f for f in found if not of_zeros(f)]  # who is silent is told by these
        begin = history.steps[0].number if history.steps else 0
        slow = any(f.rule == "learning_rate_low" and not of_targets(f) for f in found)
        weighed = [_weighed(f, history, begin, broke=broke, slow=slow) for f in symptoms]
        known = {id(w): f for w, f in zip(weighed, symptoms, strict=True)}

        def explains(cause: Finding, effect: Finding) -> bool:
            """A note now can have caused the rest."""
            return leads_to(known.get(id(cause), cause), known.get(id(effect), effect), begin=begin)

        roots = _with_decay(_promoted(rooted(_once([*found, *weighed]), explains), explains))
        silent = not any(f.severity != "info" for f in roots)
        note = stands_still(history) if silent and looked else None
        return roots if note is None else [*roots, note]

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
        if looked[0] <= 1:
            of_first = self._by_itself(looked[0])
            self._start = [replace(f, since=looked[0]) for f in of_first if RULES[f.rule].of_start]
        return [replace(f, since=since[f.rule]) for f in found]

    def _by_itself(self, number: int) -> list[Finding]:
        known = self._of_step.get(number)
        if known is None:
            step = self._ring.step(number)
            records = step.records(self._ring.facts) if step is not None else []
            if step is None or not records:
                return []
            untrained = number <= 1
            entered = step.of(records[0].facts.index, Quantity.INPUT)
            known = found_by(
                Evidence(
                    records, step.loss, step.baseline, untrained=untrained, entered=entered,
                    by_name=True,
                )
            )  # fmt: skip
            self._of_step[number] = known
        return known


def _weighed(symptom: Finding, history: History, begin: int, *, broke: bool, slow: bool) -> Finding:
    """A symptom of one pass, against how the training goes: of a network that learns all the same
    it is a note, unless it takes a part of the network out for good, or hinders one whose loss has
    not come far. What broke a training stays what it is, and so does what is found of one that does
    not learn; where no loss tells that, of one pass, what was there from the first."""
    if broke:
        drowned = symptom.rule in OVERFLOWS and symptom.severity == "error"
        return symptom if drowned else replace(symptom, severity="info")
    if not history.learns:
        later = history.signed and not began(symptom, begin)
        # Whether it hinders a training nobody knows of one whose steps are next to none.
        unknown = slow and symptom.severity == "warning"
        return replace(symptom, severity="info") if later or unknown else symptom
    for_long = symptom.since is not None and history.number - symptom.since >= FEW_STEPS
    lost = symptom.rule in LOST and symptom.severity == "error" and for_long
    last = history.last_module.name if history.last_module else None
    at_output = symptom.rule in FLAT and for_long and last in symptom.modules
    grave = symptom.severity == "error" or symptom.rule in FLAT
    hinders = (at_output or (grave and began(symptom, begin))) and not history.fares_well
    return replace(symptom, severity="warning" if lost or hinders else "info")


def _with_decay(roots: Sequence[Finding]) -> list[Finding]:
    """What fades as weights do says so; the decay stands by itself where nothing else is found."""
    decay = next((f for f in roots if f.rule == "weight_decay"), None)
    fading = [f for f in roots if f.rule in FADES | {"constant_output"} and f.severity != "info"]
    if decay is None or not fading:
        return list(roots)
    told = {
        id(f): replace(f, explanation=f"{f.explanation} {decay.title}. {decay.explanation}",
                       fix=f.fix or decay.fix)
        for f in fading
    }  # fmt: skip
    return [told.get(id(f), f) for f in roots if f is not decay]


def _promoted(roots: Sequence[Finding], explains: Explains) -> list[Finding]:
    """In place of a cause that is harmless by itself stands what it has led to, which says so."""
    found = []
    for root in roots:
        alone = root.rule in RULES and RULES[root.rule].harmless_alone
        if not alone or not root.consequences:
            found.append(root)
            continue
        first, *others = rooted(root.consequences, explains)
        why = replace(root, severity="info", consequences=[])
        text = f"{first.explanation} {root.explanation}"
        below = [why, *first.consequences]
        found += [replace(first, explanation=text, consequences=below), *others]
    return sorted(found, key=lambda f: -SEVERITIES.index(f.severity))


LOST = frozenset({"symmetry", "dead_units"})
"""No gradient makes copies different, or reaches who is dead: what learns is the rest."""
FLAT = frozenset({"saturation"})
"""Never an error by itself: a gate is meant to be flat. An output that is, at targets beyond it."""


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
    line = origin.evidence.get("line")
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
        fix=None if line is None else {"code": line},
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
