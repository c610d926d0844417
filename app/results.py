"""An experiment's result as JSON: the whole, or event by event with the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from layerscope.app.streams import Wire, encoded
from layerscope.engine.analyses.autograd_check import compare_with_autograd
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.diagnosis.run import Event, Summary, result, run
from layerscope.engine.execution.cost import cost
from layerscope.engine.experiment.specification import Experiment

__all__ = [
    "GROUPED",
    "Checked",
    "complete",
    "events",
    "live_check",
    "patient",
    "quick",
    "result_events",
]

GROUPED = {"forward": "layers", "backward": "layers"}
"""Events of which those that follow one another are sent as one."""

QUICK_FLOPS = 2e9
"""A tenth of a second on a core of today, with the check against autograd and fixes tried."""


def quick(experiment: Experiment) -> bool:
    """Whether its whole result takes a fraction of a second, so that it need not wait its turn."""
    return cost(experiment).flops <= QUICK_FLOPS


def patient(event: Wire) -> bool:
    """Whether an event may wait for the next batch: many of its name come, and end no wait."""
    return event[0] in GROUPED or event[0] == "finding"


def live_check(experiment: Experiment, max_flops: float, should_stop: ShouldStop) -> dict[str, Any]:
    """The comparison with autograd, or why there is none: it costs more than ``max_flops``."""
    flops = cost(experiment).flops
    if flops > max_flops:
        reason = (
            f"not checked: {flops:.3g} operations are over this server's limit of {max_flops:.3g} "
            "for a check"
        )
        return {"autograd_max_relative_error": None, "reason": reason}
    return compare_with_autograd(experiment, should_stop=should_stop).to_dict()


def complete(experiment: Experiment, check_max_flops: float, should_stop: ShouldStop) -> bytes:
    """The whole result: the same numbers as the events carry."""
    whole = result(experiment, check=False, should_stop=should_stop)
    whole["check"] = live_check(experiment, check_max_flops, should_stop)
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
    experiment: Experiment, check_max_flops: float, should_stop: ShouldStop
) -> Iterator[Event | Checked]:
    """What happens, as it happens; the check comes before fixes are tried, which takes longer."""
    for event in run(experiment, should_stop=should_stop):
        yield event
        if isinstance(event, Summary):
            yield Checked(live_check(experiment, check_max_flops, should_stop))


def result_events(
    experiment: Experiment, check_max_flops: float, should_stop: ShouldStop
) -> Iterator[Wire]:
    """The same as it is sent."""
    return map(encoded, events(experiment, check_max_flops, should_stop))
