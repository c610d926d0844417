"""Fixes that were run: a copy is changed, looked at and trained for a few steps, beside another
copy that is not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace
from torch.optim import Optimizer

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.again import random_state
from layerscope.engine.probe.preflight.changes import Change, changes_for
from layerscope.engine.probe.preflight.judging import RECORD_RULES, accusations, findings_of, judged
from layerscope.engine.probe.preflight.subject import Subject
from layerscope.engine.probe.preflight.trial import STEPS, Course, Setup, course, learns_faster
from layerscope.engine.probe.preflight.untouched import untouched

__all__ = ["NotCopied", "fixed", "learning_rate", "original_course", "weighed"]

ROSE = 2.0
"""Times its first loss, at the end of a few steps: the step size is too large."""
STOOD = 1e-3
"""Share of its first loss by which it fell, while ten or a hundred times the rate makes it fall at
least ten times as far: too small."""
LEARNS = 0.02
"""Share of its first loss by which a copy falls in a few steps, for its symptoms to be notes."""
LARGER, SMALLER = (10.0, 100.0, 1e3, 1e4, 1e5, 1e6), (0.1, 0.01, 0.001, 1e-4)


class NotCopied(Exception):
    """The model cannot be deep-copied, so nothing can be tried."""


def original_course(setup: Setup) -> Course:
    """A few steps of a copy as it is.

    Errors: ``NotCopied`` with the reason.
    """
    try:
        twin = setup.copy()
    except Exception as error:
        said = " ".join(str(error).split())
        raise NotCopied(f"deep copy failed with {type(error).__name__}: {said}") from None
    return course(twin)


def fixed(setup: Setup, subject: Subject, found: Sequence[Finding], before: Course) -> list[
    Finding
]:  # fmt: skip
    """The findings, each accusation with the first change that works."""
    return [
        f if f.severity == "info" else _with_fix(setup, subject, f, found, before) for f in found
    ]


def _with_fix(
    setup: Setup, subject: Subject, finding: Finding, found: Sequence[Finding], before: Course
) -> Finding:
    tried = 0
    rules = dict.fromkeys([finding.rule, *(c.rule for c in finding.consequences)])
    seen: set[tuple[str, ...]] = set()
    for rule in rules:
        for change in changes_for(rule, subject.look):
            if change.lines in seen:
                continue
            seen.add(change.lines)
            tried += 1
            after = _works(setup, change, finding, found, before)
            if after is not None:
                return replace(finding, fix=_told(change.lines, tried, before, after),
                               fix_verified=True)  # fmt: skip
    fix = {**(finding.fix or {}), "tried": tried} if tried or finding.fix else None
    return replace(finding, fix=fix)


def _told(lines: Sequence[str], tried: int, before: Course, after: Course) -> dict[str, Any]:
    return {
        "code": "\n".join(lines), "tried": tried, "steps": STEPS,
        "loss_before": _pair(before), "loss_after": _pair(after),
    }  # fmt: skip


def _pair(losses: Course) -> list[float | None]:
    return [v if math.isfinite(v) else None for v in (losses.first, losses.last)]


def _works(
    setup: Setup, change: Change, finding: Finding, found: Sequence[Finding], before: Course
) -> Course | None:
    """The course of a changed copy, where the finding is gone, nothing is worse, and it learns
    faster."""
    twin = setup.copy()
    try:
        with random_state():
            change.apply(twin)
    except Exception:  # of modules that are not as their class says
        return None
    with untouched(twin.model):
        after = findings_of(judged(twin.model, twin.batch, twin.loss, twin.optimizer))
    if not _milder(finding, found, after):
        return None
    losses = course(twin)
    return losses if learns_faster(losses, before) else None


def _milder(finding: Finding, found: Sequence[Finding], after: Sequence[Finding]) -> bool:
    was, now = accusations(found), accusations(after)
    if finding.rule in now and now[finding.rule] >= was.get(finding.rule, 0):
        return finding.rule not in _alone(finding, found)
    return all(severity <= was.get(rule, 0) for rule, severity in now.items())


def _alone(finding: Finding, found: Sequence[Finding]) -> set[str]:
    """The rule, unless another finding of it stands beside this one."""
    others = [f.rule for f in found if f is not finding]
    return set() if finding.rule in others else {finding.rule}


def weighed(found: Sequence[Finding], before: Course) -> list[Finding]:
    """The findings, warnings of the rules on records turned into notes where a copy, as it is,
    learns all the same. Errors stay: what is wrong by powers of ten is, whatever Adam makes of it.
    """
    fell = before.first - before.last
    if not before.held or fell < LEARNS * abs(before.first):
        return list(found)
    said = f" It learns all the same: in {STEPS} steps on a copy the loss fell from "
    said += f"{before.first:.3g} to {before.last:.3g}."
    return [
        replace(f, severity="info", explanation=f.explanation + said)
        if f.severity == "warning" and f.rule in RECORD_RULES
        else f
        for f in found
    ]


def learning_rate(setup: Setup, subject: Subject, before: Course) -> Finding | None:
    """The given optimiser's rate, judged by its steps; with a rate that was tried."""
    optimizer = setup.optimizer
    if optimizer is None or before.error is not None or not math.isfinite(before.first):
        return None
    rates = [group["lr"] for group in optimizer.param_groups]
    rose = not before.held or before.last > ROSE * abs(before.first)
    fell = before.first - before.last
    if rose:
        found = next(_better_rates(setup, before, SMALLER), None)
        return None if found is None else _rate_finding(
            subject, "learning_rate_high", "error", rates, before, *found
        )  # fmt: skip
    if fell < STOOD * abs(before.first):
        for factor, after in _better_rates(setup, before, LARGER):
            if after.first - after.last > 10 * max(fell, STOOD * abs(before.first)):
                return _rate_finding(
                    subject, "learning_rate_low", "warning", rates, before, factor, after
                )
    return None


def _better_rates(
    setup: Setup, before: Course, factors: Sequence[float]
) -> Iterator[tuple[float, Course]]:
    for factor in factors:
        twin = setup.copy()
        _scale(twin.optimizer, factor)
        after = course(twin)
        if learns_faster(after, before):
            yield factor, after


def _scale(optimizer: Optimizer | None, factor: float) -> None:
    for group in optimizer.param_groups if optimizer else ():
        group["lr"] = group["lr"] * factor


def _rate_finding(
    subject: Subject, rule: str, severity: Any, rates: Sequence[Any], before: Course,
    factor: float, after: Course,
) -> Finding:  # fmt: skip
    high = rule == "learning_rate_high"
    rate = ", ".join(f"{float(r):g}" for r in dict.fromkeys(rates))
    went = f"from {before.first:.3g} to {before.last:.3g}" if before.held else "to no number"
    lines = ("for group in optimizer.param_groups:", f'    group["lr"] *= {factor:g}')
    finding = subject.finding(
        rule, severity, tuple(subject.in_order),
        f"The loss rises at learning rate {rate}" if high
        else f"At learning rate {rate} the loss hardly moves",
        f"In {STEPS} steps on a copy the loss went {went}; with {factor:g} times the rate it goes "
        f"from {after.first:.3g} to {after.last:.3g}.",
        {"learning_rates": [float(r) for r in rates], "first_loss": before.first,
         "last_loss": before.last if before.held else None, "steps": STEPS},
        {"rises_by": ROSE} if high else {"falls_by": STOOD},
    )  # fmt: skip
    return replace(finding, fix=_told(lines, 1, before, after), fix_verified=True)
