"""From the recorded steps to findings."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from layerscope.engine.diagnosis import Evidence, Finding, diagnose
from layerscope.engine.diagnosis.diagnose import explained_by
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.step import Origin, Quantity, Step

__all__ = ["findings_of", "nonfinite"]


GREW = 10.0
"""A module's output that has grown by this factor before it broke had been on its way there."""


def findings_of(ring: Ring, origin: Origin | None) -> list[Finding]:
    """What the rules find in the newest step that was looked at closely, with the step since which
    each has held without a break; before all, where the first NaN or infinity came from."""
    steps = list(ring)
    looked = [step for step in steps if any(m.look for m in step.modules)]
    found = _found(ring, looked[-1]) if looked else []
    if origin is not None:
        consequences = {"nonfinite", *explained_by("nonfinite")}
        found = [f for f in found if f.rule not in consequences]
    since = {f.rule: looked[-1].number for f in found}
    ahead = set(since)
    for step in reversed(looked[:-1]):
        if not ahead:
            break
        ahead &= {f.rule for f in _found(ring, step)}
        since.update(dict.fromkeys(ahead, step.number))
    rest = [replace(f, since=since[f.rule]) for f in found]
    return rest if origin is None else [nonfinite(ring.facts, steps, origin), *rest]


def nonfinite(facts: Sequence[ModuleFacts], steps: Sequence[Step], origin: Origin) -> Finding:
    """The finding about an origin, with who had been drifting there and since when."""
    at = next((f.index for f in facts if f.name == origin.module), 0)
    drift = _drift(steps, at, origin.step)
    words = f"In step {origin.step}: {origin.what}."
    if origin.operands:
        words += f" {origin.operands}."
    if drift is not None:
        since, was, now = drift
        words += f" The rms of its output had been growing since step {since}, from {was:.3g} "
        words += f"to {now:.3g}."
    if origin.where:
        words += f" Called at {origin.where}."
    where = origin.module or "the loss"
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


def _drift(steps: Sequence[Step], module: int, until: int) -> tuple[int, float, float] | None:
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


def _found(ring: Ring, step: Step) -> list[Finding]:
    records = step.records(ring.facts)
    return diagnose(Evidence(records, step.loss, step.baseline)) if records else []
