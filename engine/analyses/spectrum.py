"""How unevenly a network stretches directions: its Jacobian's singular values, and correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerscope.engine.analyses.base import analysis
from layerscope.engine.analyses.correlations import Correlations, correlations, correlations_cost
from layerscope.engine.analyses.jacobian_spectrum import (
    JacobianSpectra,
    jacobian_spectra,
    jacobian_spectra_cost,
)
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Spectrum", "spectrum"]


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values through depth, and what becomes of pairs of inputs meanwhile."""

    spectra: JacobianSpectra
    correlation: Correlations

    def to_dict(self) -> dict[str, Any]:
        return {**self.spectra.to_dict(), "correlation": self.correlation.to_dict()}


def _cost(experiment: Experiment) -> Cost:
    return jacobian_spectra_cost(experiment).then(correlations_cost(experiment))


@analysis(
    "spectrum",
    title="Spectrum",
    formula="singular values of ∂(output of block l)/∂(input) at one sample",
    source="Saxe et al. 2014; Pennington, Schoenholz & Ganguli 2017",
    help="How unevenly the layers stretch directions, with Gaussian and with orthogonal weights of "
    "the same variance, and how two inputs come to look alike.",
    cost=_cost,
)
def spectrum(experiment: Experiment, *, should_stop: ShouldStop = never) -> Spectrum:
    """The spectra of ``experiment``'s network through depth, and its correlations.

    Errors: as `jacobian_spectra`.

    >>> found = spectrum(Experiment(depth=2, width=4, batch=2))
    >>> found.spectra.depths, len(found.correlation.paths)
    ((1, 2), 3)
    """
    return Spectrum(
        jacobian_spectra(experiment, should_stop=should_stop),
        correlations(experiment, should_stop=should_stop),
    )
