"""The init schemes' question: one specification for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerscope.app.foundations.query import Field, FieldError, Question, choice, number, whole
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.experiment.specification import DTYPES, MAX_SEED, Experiment
from layerscope.engine.foundations.schemes import SchemeEvent, schemes, schemes_cost
from layerscope.engine.layers import ACTIVATIONS

__all__ = ["LIMITS", "SCHEMES", "SchemesAnswer", "experiment_of"]

LIMITS = Limits(flops=100_000_000_000, bytes=512 * 2**20)
"""All schemes together: some seconds on one core."""


@dataclass(frozen=True, slots=True)
class SchemesAnswer:
    """Every event of the comparison."""

    events: tuple[SchemeEvent, ...]

    def to_dict(self) -> dict[str, Any]:
        """What the specification was, every scheme, and which hold."""
        start, *results, end = (event.to_dict() for event in self.events)
        return {**start, "schemes": results, **end}


def experiment_of(values: Mapping[str, Any]) -> Experiment:
    """The specification that the fields make.

    Errors: `FieldError` when all schemes together cost more than `LIMITS`, before anything is
    allocated.
    """
    experiment = Experiment(**values)
    try:
        LIMITS.check(schemes_cost(experiment))
    except OverLimit as error:
        raise FieldError("width", str(error)) from None
    return experiment


def _answer(*, should_stop: ShouldStop, **values: Any) -> SchemesAnswer:
    return SchemesAnswer(tuple(schemes(experiment_of(values), should_stop=should_stop)))


SCHEMES = Question(
    name="schemes",
    summary="All init schemes side by side on one specification",
    help="For every scheme its formula, source and assumptions, the histogram of the first layer's "
    "weight with the intended density, and the std of the signal after every block. "
    "`/schemes/stream` sends them one by one.",
    fields=(
        Field(
            "init_scale", "Init scale", "1", number(0, 100),
            "Multiplies whatever a scheme draws.", slider=(0, 3, 0.01),
        ),
        Field(
            "activation", "Activation", "relu", choice(tuple(ACTIVATIONS)),
            "φ after every layer.",
            options=tuple((name, name) for name in ACTIVATIONS),
        ),
        Field("depth", "Depth", "50", whole(1, 200), "Layers.", slider=(1, 100, 1)),
        Field("width", "Width", "100", whole(1, 1024), "Units of a layer.", slider=(1, 256, 1)),
        Field("batch", "Batch", "200", whole(1, 4096), "Samples."),
        Field(
            "dtype", "Number format", "float32", choice(tuple(DTYPES)), "Every tensor's dtype.",
            options=tuple((name, name) for name in DTYPES),
        ),
        Field("seed", "Seed", "0", whole(0, MAX_SEED), "Of data and weights."),
    ),
    answer=_answer,
    stoppable=True,
    example={"holding": ["kaiming_normal", "lsuv", "kaiming_uniform"]},
)  # fmt: skip
