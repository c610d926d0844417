"""What the pages under ``/why`` and their JSON show: which computation, held to which limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from layerscope.engine.analyses.correlations import Correlations, correlations
from layerscope.engine.analyses.jacobian_spectrum import Spectra, spectra, spectra_cost
from layerscope.engine.analyses.phase_diagram import phases
from layerscope.engine.analyses.precision.lens import Lens as Precision
from layerscope.engine.analyses.precision.lens import affordable, precision, reference
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.evaluation import evaluation as published
from layerscope.engine.execution.cost import Limits, OverLimit, check_limits
from layerscope.engine.experiment.specification import Experiment

__all__ = ["LENSES", "Answer", "Lens", "Spectrum", "evaluation", "rules_table"]


class Answer(Protocol):
    """What a lens makes of an experiment."""

    def to_dict(self) -> dict[str, Any]:
        """As the JSON API sends it."""
        ...


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Both pictures of the page: singular values, and the correlation of pairs of inputs."""

    spectra: Spectra
    correlation: Correlations

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**self.spectra.to_dict(), "correlation": self.correlation.to_dict()}


@dataclass(frozen=True, slots=True)
class Lens:
    """One way to look at an experiment.

    ``check`` refuses with `OverLimit` what would cost too much, before anything is allocated;
    ``run`` computes in a worker thread.
    """

    run: Callable[[Experiment, ShouldStop], Answer]
    check: Callable[[Experiment, Limits], object]


def _within(_: Experiment, __: Limits) -> None:
    """A phase diagram costs the same whatever the network's size."""


def _check_spectrum(experiment: Experiment, limits: Limits) -> None:
    needed = spectra_cost(experiment)
    if needed.flops > limits.flops:
        raise OverLimit("floating point operations", limits.flops, needed.flops)
    if needed.bytes > limits.bytes:
        raise OverLimit("bytes of memory", limits.bytes, needed.bytes)


def _spectrum(experiment: Experiment, should_stop: ShouldStop) -> Spectrum:
    return Spectrum(spectra(experiment, should_stop), correlations(experiment, should_stop))


def _precision(experiment: Experiment, should_stop: ShouldStop) -> Precision:
    dtypes, skipped = affordable(experiment)
    return precision(experiment, dtypes=dtypes, not_run=skipped, should_stop=should_stop)


def _check_precision(experiment: Experiment, limits: Limits) -> None:
    # The reference, in float64, holds twice as much; three runs come after it.
    check_limits(reference(experiment), replace(limits, flops=limits.flops // 4))


LENSES: Mapping[str, Lens] = {
    "phase": Lens(phases, _within),
    "spectrum": Lens(_spectrum, _check_spectrum),
    "precision": Lens(_precision, _check_precision),
}
"""By the last part of their address."""


def evaluation() -> dict[str, Any] | None:
    """How often the rules hit, miss and cry wolf over the corpus; None before it was measured."""
    try:
        return published()
    except FileNotFoundError:
        return None


def rules_table() -> dict[str, Any]:
    """Every rule in its own words, and the evaluation.

    >>> "nonfinite" in {rule["name"] for rule in rules_table()["rules"]}
    True
    """
    rules = [
        {"name": r.name, "formula": r.formula, "help": r.help, "source": r.source,
         "explains": list(r.explains)}
        for r in RULES.values()
    ]  # fmt: skip
    return {"rules": rules, "evaluation": evaluation()}
