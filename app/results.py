"""An experiment's result as JSON: the whole, or event by event with the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from layerscope.app.settings import Settings
from layerscope.app.streams import Wire, encoded
from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.diagnosis.run import Event, ResultCost, Summary, result, run
from layerscope.engine.execution.prices import prices
from layerscope.engine.experiment.specification import Experiment

__all__ = [
    "GROUPED",
    "Checked",
    "Plan",
    "complete",
    "events",
    "is_quick",
    "live_check",
    "patient",
    "planned",
    "result_events",
]

GROUPED = {"forward": "layers", "backward": "layers"}
"""Events of which those that follow one another are sent as one."""

QUICK_SECONDS = 0.7
"""Of one core: what takes longer waits for its turn."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What of an experiment's result is computed.

    ``unchecked``: why the gradients are not held against autograd's; empty where they are.
    ``quick``: whether all of it takes a fraction of a second, so that it need not wait its turn;
    ``summed_up_quickly``: whether all but its fixes does, which a stream tells last.
    """

    unchecked: str
    quick: bool
    summed_up_quickly: bool


def planned(experiment: Experiment, settings: Settings) -> Plan:
    """How much of the whole result this server computes.

    Errors: ``OverLimit`` where the rest takes too much.
    """
    parts = ResultCost.of(experiment)
    flops, whole = parts.passes.flops, parts.sum(check=True)
    unchecked = ""
    if flops > settings.check_max_flops:
        unchecked = (
            f"not checked: {flops:.3g} operations are over this server's limit of "
            f"{settings.check_max_flops:.3g} for a check"
        )
    elif not settings.limits.allow(whole):
        unchecked = (
            f"not checked: with a check it would take {whole.flops:.3g} operations and "
            f"{whole.bytes:.3g} bytes, more than this server allows"
        )
    needed = settings.limits.check(parts.sum(check=False) if unchecked else whole)
    return Plan(unchecked, is_quick(needed.flops), is_quick(needed.flops - parts.fixes.flops))


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


def complete(experiment: Experiment, unchecked: str, should_stop: ShouldStop) -> bytes:
    """The whole result: the same numbers as the events carry."""
    whole = result(experiment, check=False, should_stop=should_stop)
    whole["check"] = live_check(experiment, unchecked, should_stop)
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
    experiment: Experiment, unchecked: str, should_stop: ShouldStop
) -> Iterator[Event | Checked]:
    """What happens, as it happens; the check comes before fixes are tried, which takes longer."""
    for event in run(experiment, should_stop=should_stop):
        yield event
        if isinstance(event, Summary):
            yield Checked(live_check(experiment, unchecked, should_stop))


def result_events(
    experiment: Experiment, unchecked: str, should_stop: ShouldStop
) -> Iterator[Wire]:
    """The same as it is sent."""
    return map(encoded, events(experiment, unchecked, should_stop))
