"""An experiment's result as JSON: the whole, or event by event with the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import orjson

from layerscope.app.settings import Settings
from layerscope.app.streams import Wire, encoded
from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.diagnosis.run import Event, ResultCost, Summary, result, run
from layerscope.engine.execution.cost import Cost
from layerscope.engine.execution.prices import prices
from layerscope.engine.experiment.specification import Experiment

__all__ = [
    "EVERYTHING",
    "GROUPED",
    "Checked",
    "LeftOut",
    "Plan",
    "complete",
    "events",
    "is_quick",
    "live_check",
    "patient",
    "planned",
    "result_events",
    "unchecked_events",
]

GROUPED = {"forward": "layers", "backward": "layers"}
"""Events of which those that follow one another are sent as one."""

QUICK_SECONDS = 0.7
"""Of one core: what takes longer waits for its turn."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a part of a result is not computed; empty where it is.

    ``unchecked``: the gradients are not held against autograd's. ``unfixed``: for what is found no
    fix is tried.
    """

    unchecked: str = ""
    unfixed: str = ""


EVERYTHING = LeftOut()


@dataclass(frozen=True, slots=True)
class Plan:
    """What of an experiment's result is computed: all but what is ``left_out``.

    ``quick``: whether it takes a fraction of a second at most, so that it need not wait its turn.
    Fixes count, though they are tried only where something is wrong: who waits for the place of
    what is quick would wait for them.
    """

    left_out: LeftOut
    quick: bool


def planned(experiment: Experiment, settings: Settings, *, check: bool = True) -> Plan:
    """How much of the whole result, with the ``check`` if that is asked, this server computes:
    where that is over a limit the fixes are left out first, then the check.

    Errors: ``OverLimit`` where the rest takes too much.
    """
    parts, limits = ResultCost.of(experiment), settings.limits
    flops, why = parts.passes.flops, ""
    if check and flops > settings.check_max_flops:
        why = (
            f"not checked: {flops:.3g} operations are over this server's limit of "
            f"{settings.check_max_flops:.3g} for a check"
        )
    checks = (True, False) if check and not why else (False,)
    ways = [(with_check, fixes) for with_check in checks for fixes in (True, False)]
    checked, fixes = next(
        (way for way in ways if limits.allow(parts.sum(check=way[0], fixes=way[1]))), ways[-1]
    )
    limits.check(parts.sum(check=checked, fixes=fixes))
    if check and not checked and not why:
        why = _too_much("not checked: with a check", parts.sum(check=True, fixes=fixes))
    unfixed = ""
    if not fixes:
        unfixed = _too_much("no fix was tried: with fixes", parts.sum(check=checked, fixes=True))
    return Plan(LeftOut(why, unfixed), is_quick(parts.sum(check=checked, fixes=fixes).flops))


def _too_much(what: str, needed: Cost) -> str:
    return (
        f"{what} it would take {needed.flops:.3g} operations and {needed.bytes:.3g} bytes, more "
        "than this server allows"
    )


def is_quick(flops: float) -> bool:
    """Whether so many operations take a fraction of a second on this machine."""
    return flops <= QUICK_SECONDS * prices().per_second


def patient(event: Wire) -> bool:
    """Whether an event may wait for the next batch: many of its name come, and end no wait."""
    return event[0] in GROUPED or event[0] == "finding"


def live_check(experiment: Experiment, unchecked: str, should_stop: ShouldStop) -> dict[str, Any]:
    """The comparison with autograd, or why there is none."""
    if unchecked:
        return {"autograd_max_relative_error": None, "reason": unchecked}
    return compare_with_autograd(experiment, should_stop=should_stop).to_dict()


def complete(
    experiment: Experiment, left_out: LeftOut, should_stop: ShouldStop, *, check: bool = True
) -> bytes:
    """The whole result: the same numbers as the events carry, with the ``check`` if it is asked."""
    fixes = not left_out.unfixed
    whole = result(experiment, check=False, fixes=fixes, should_stop=should_stop)
    whole["unfixed"] = left_out.unfixed or None
    if check:
        whole["check"] = live_check(experiment, left_out.unchecked, should_stop)
    return orjson.dumps(whole)


@dataclass(frozen=True, slots=True)
class Checked:
    """How the gradients compare with autograd's."""

    event: ClassVar[str] = "check"
    check: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As on the wire."""
        return self.check


def events(
    experiment: Experiment, left_out: LeftOut, should_stop: ShouldStop
) -> Iterator[Event | Checked]:
    """What happens, as it happens; the check comes before fixes are tried, which takes longer."""
    for event in unchecked_events(experiment, left_out, should_stop):
        yield event
        if isinstance(event, Summary):
            yield Checked(live_check(experiment, left_out.unchecked, should_stop))


def unchecked_events(
    experiment: Experiment, left_out: LeftOut, should_stop: ShouldStop
) -> Iterator[Event]:
    """The same without the check."""
    for event in run(experiment, fixes=not left_out.unfixed, should_stop=should_stop):
        yield replace(event, unfixed=left_out.unfixed) if isinstance(event, Summary) else event


def result_events(
    experiment: Experiment, left_out: LeftOut, should_stop: ShouldStop
) -> Iterator[Wire]:
    """The same as it is sent."""
    return map(encoded, events(experiment, left_out, should_stop))
