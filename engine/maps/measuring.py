"""A sample measured: a pure function of its specification, with one thread of torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from layerscope.engine.analyses import AnalysisUndefined
from layerscope.engine.basis.build import engine_build
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.cores import keep_to_cores
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.outcomes import OUTCOMES, Reading, Subject
from layerscope.engine.training import Training

__all__ = ["measured", "reading", "rehearse"]


def measured(
    place: int, experiment: Mapping[str, Any], training: Mapping[str, Any] | None, outcome: str,
    build: str,
) -> tuple[int, float | None, str, float]:  # fmt: skip
    """What `layerscope.engine.maps.work.done` says."""
    if build != engine_build():
        raise ValueError(
            "a worker has another engine, or other libraries, than the program whose map this is: "
            f"expected {build[:12]}, got {engine_build()[:12]}"
        )
    keep_to_cores(1)
    began = time.perf_counter()
    how = None if training is None else Training.from_json(training)
    found = reading(Experiment.from_json(experiment), how, outcome)
    return place, found.number, found.text, time.perf_counter() - began


def rehearse() -> None:
    """A tiny work, so that everything is loaded and compiled."""
    keep_to_cores(1)
    reading(Experiment(depth=2, width=4, batch=4), None, "last_std")


def reading(
    experiment: Experiment,
    training: Training | None,
    outcome: str,
    *,
    should_stop: ShouldStop = never,
) -> Reading:
    """The outcome of one experiment; where its question has no answer, why.

    >>> reading(Experiment(init="zeros", depth=2, width=4, batch=4), None, "dead_share")
    Reading(number=1.0, text='')
    """
    try:
        return OUTCOMES[outcome].read(Subject(experiment, training, should_stop))
    except AnalysisUndefined as error:
        return Reading(None, str(error))
