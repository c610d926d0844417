"""What an analysis is: one more question asked of an experiment, and what answering it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.registry import Registry
from layerscope.engine.execution.cost import Cost
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.theory.moments import MomentsUndefined

__all__ = ["ANALYSES", "Analysis", "AnalysisResult", "AnalysisUndefined", "Question", "analysis"]


class AnalysisUndefined(FieldError):
    """The question has no answer for this experiment: ``field`` stands in the way."""


class AnalysisResult(Protocol):
    """What an analysis finds."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON; a number that is not finite is None, or becomes it when encoded by orjson."""
        ...


class Question(Protocol):
    """What answers. Errors: `AnalysisUndefined`; ``Stopped`` once ``should_stop()`` is true."""

    def __call__(
        self, experiment: Experiment, *, should_stop: ShouldStop = never
    ) -> AnalysisResult: ...


@dataclass(frozen=True, slots=True)
class Analysis:
    """``cost`` says, before anything is allocated, what ``run`` takes, the experiment's own passes
    included where they are run again."""

    name: str
    title: str
    formula: str
    source: str
    help: str
    cost: Callable[[Experiment], Cost] = field(repr=False)
    run: Question = field(repr=False)


ANALYSES: Registry[Analysis] = Registry("analysis", by_name=True)
"""By name, the last part of an analysis' address; one may import another, so that the order of
registration is none."""

Q = TypeVar("Q", bound=Question)


def analysis(
    name: str,
    *,
    title: str,
    formula: str,
    source: str,
    help: str,  # noqa: A002  the registry's own word
    cost: Callable[[Experiment], Cost],
) -> Callable[[Q], Q]:
    """Register the decorated function, which stays a function, under ``name``."""

    def register(question: Q) -> Q:
        def run(experiment: Experiment, *, should_stop: ShouldStop = never) -> AnalysisResult:
            try:
                return question(experiment, should_stop=should_stop)
            except MomentsUndefined as error:
                raise AnalysisUndefined("activation", f"no theory: {error}") from None

        ANALYSES.register(Analysis(name, title, formula, source, help, cost, run))
        return question

    return register
