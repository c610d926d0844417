"""The init schemes: all of them side by side on one specification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import model_validator

from layerscope.app.foundations.readers import number
from layerscope.app.foundations.step import Step, gathered
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Specification, Text, parameter
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.experiment.specification import DTYPES, MAX_SEED, Experiment
from layerscope.engine.foundations.schemes import SchemeEvent, schemes, schemes_cost
from layerscope.engine.layers import ACTIVATIONS

__all__ = ["LIMITS", "STEP", "SchemesForm", "scheme_events"]

LIMITS = Limits(flops=400_000_000_000, bytes=512 * 2**20)
"""All schemes together: some seconds on one core."""


class SchemesForm(Specification):
    """One specification for all schemes; what they cost together is held to `LIMITS`."""

    init_scale: Annotated[float, Text(number(0, 100))] = parameter(
        "1", "Init scale", "Multiplies whatever a scheme draws.", slider=(0, 3), step=0.01
    )
    activation: str = parameter(
        "relu", "Activation", "φ after every layer.",
        options=lambda: {name: {} for name in ACTIVATIONS},
    )  # fmt: skip
    depth: int = parameter(50, "Depth", "Layers.", slider=(1, 100), ge=1, le=200)
    width: int = parameter(100, "Width", "Units of a layer.", slider=(1, 256), ge=1, le=1024)
    batch: int = parameter(200, "Batch", "Samples.", ge=1, le=4096)
    dtype: str = parameter(
        "float32", "Number format", "Every tensor's dtype.",
        options=lambda: {name: {} for name in DTYPES},
    )  # fmt: skip
    seed: int = parameter(0, "Seed", "Of data and weights.", ge=0, le=MAX_SEED)

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        try:
            LIMITS.check(schemes_cost(self.experiment))
        except OverLimit as error:
            raise FieldError("width", str(error)) from None
        return self

    @property
    def experiment(self) -> Experiment:
        """The specification that the schemes share."""
        return Experiment(**self.to_dict())


def scheme_events(asked: SchemesForm, should_stop: ShouldStop) -> Iterator[SchemeEvent]:
    """What the specification is, every scheme, and which hold."""
    return schemes(asked.experiment, should_stop=should_stop)


def _whole(asked: SchemesForm, should_stop: ShouldStop) -> dict[str, object]:
    return gathered(scheme_events(asked, should_stop), "schemes", "scheme")


STEP = Step(
    name="schemes",
    title="Init schemes",
    lead="How weights are drawn decides whether a signal survives fifty layers.",
    form=SchemesForm,
    answer=_whole,
    summary="All init schemes side by side on one specification",
    help="For every scheme its formula, source and assumptions, the histogram of the first layer's "
    "weight with the intended density, and the std of the signal after every block. "
    "`/schemes/stream` sends them one by one.",
    example={"holding": ["kaiming_normal", "lsuv", "kaiming_uniform"]},
)
