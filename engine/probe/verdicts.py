"""From the recorded steps to findings."""

from __future__ import annotations

from msgspec.structs import replace

from layerscope.engine.diagnosis import Evidence, Finding, diagnose
from layerscope.engine.probe.ring import Ring
from layerscope.engine.probe.step import Step

__all__ = ["findings_of"]


def findings_of(ring: Ring) -> list[Finding]:
    """What the rules find in the newest step that was looked at closely, with the step since which
    each has held without a break."""
    steps = [step for step in ring if any(m.look for m in step.modules)]
    if not steps:
        return []
    found = _found(ring, steps[-1])
    since = {f.rule: steps[-1].number for f in found}
    ahead = set(since)
    for step in reversed(steps[:-1]):
        if not ahead:
            break
        ahead &= {f.rule for f in _found(ring, step)}
        since.update(dict.fromkeys(ahead, step.number))
    return [replace(f, since=since[f.rule]) for f in found]


def _found(ring: Ring, step: Step) -> list[Finding]:
    records = step.records(ring.facts)
    return diagnose(Evidence(records, step.loss, step.baseline)) if records else []
