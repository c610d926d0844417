"""How unevenly a network stretches directions: singular values of ∂(output of block l)/∂(input) at
one sample, put together from the derivatives that the layers state; and correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.analyses.base import AnalysisUndefined, analysis
from layerscope.engine.analyses.correlations import Correlations, correlations, correlations_cost
from layerscope.engine.analyses.phase_diagram import drawn_sigma_w
from layerscope.engine.basis.cancellation import ShouldStop, never, stop_if
from layerscope.engine.execution.cost import Cost, passes_flops
from layerscope.engine.execution.memory import forward_bytes
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import ForwardStep, LossStep, passes
from layerscope.engine.execution.prices import prices
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import chosen_norm
from layerscope.engine.theory.experiments import network_of
from layerscope.engine.theory.moments import MomentsUndefined
from layerscope.engine.theory.spectrum import (
    JacobianSpectrum,
    SpectrumEstimate,
    estimate_spectrum,
    spectrum_through_depth,
)
from layerscope.engine.theory.stretch import NoStretch, Stretch, stretches

__all__ = [
    "EXACT_WORK", "SCHEMES", "JacobianSpectra", "Spectrum", "block_matrices", "jacobian_spectra",
    "spectrum",
]  # fmt: skip

EXACT_WORK = 4e8
"""depth · width³ up to which all singular values are computed: a few seconds on one core."""
FACTORISATION = 8  # times n³: an orthogonal draw, as in layerscope.engine.execution.cost
DECOMPOSITION, SINGULAR = 30, 30  # times n³: one factor of the stabilised product; all its values
POINTS = 8
"""Depths at which the spectrum is taken."""
SCHEMES: dict[str, str] = {"gaussian": "lecun_normal", "orthogonal": "orthogonal"}
"""The init schemes compared; with ``init_scale`` σw both have weights of variance σw²/n."""


@dataclass(frozen=True, slots=True)
class JacobianSpectra:
    """Spectra by scheme and depth; ``theory``: the first two moments of σ² as predicted, by scheme
    and depth, or why not. Of the law of σ² itself nothing more is predicted.

    ``exact``: all singular values by decomposition (`JacobianSpectrum`); otherwise estimates from
    vector products (`SpectrumEstimate`).
    """

    experiment: Experiment
    sigma_w: float
    depths: tuple[int, ...]
    exact: bool
    schemes: dict[str, tuple[JacobianSpectrum | SpectrumEstimate, ...]]
    theory: dict[str, tuple[Stretch | None, ...]]
    theory_reason: str | None

    def log10_rms(self, scheme: str) -> list[float | None]:
        """Predicted log10 √(mean σ²) by depth."""
        return [s and s.log10_rms for s in self.theory[scheme]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment.to_dict(),
            "sample": 0,
            "sigma_w": self.sigma_w,
            "depths": list(self.depths),
            "exact": self.exact,
            "schemes": {
                name: {"init": SCHEMES[name], "spectra": [s.to_dict() for s in found]}
                for name, found in self.schemes.items()
            },
            "theory": {
                "log10_rms": self.log10_rms("gaussian"),
                "reason": self.theory_reason,
                "schemes": {
                    name: [s and s._asdict() for s in found] for name, found in self.theory.items()
                },
            },
        }


def _cost(experiment: Experiment) -> Cost:
    """Both schemes' weights, their decomposition or vector products; then the correlations."""
    e = experiment
    n = max(e.width, e.n_inputs)
    at, wide = prices(), e.model_copy(update={"dtype": "float64"})
    drawn = 2 * FACTORISATION * e.depth * n**3
    if _is_exact(e):
        worked = 2 * (DECOMPOSITION * e.depth + SINGULAR * POINTS) * n**3
    else:
        worked = 2 * 2 * 40 * POINTS * e.depth * n**2
    flops = drawn + int(at.product["float64"] * worked) + 2 * passes_flops(wide, at)
    # The network, every block's Jacobian, and what is worked on.
    kept = forward_bytes(wide) + 8 * (e.depth + 2) * n**2
    return Cost(flops, kept).then(correlations_cost(experiment))


def _is_exact(experiment: Experiment) -> bool:
    """Whether all singular values are computed, not only the largest and the mean estimated."""
    size = max(experiment.width, experiment.n_inputs)
    return experiment.depth * size**3 <= EXACT_WORK


def jacobian_spectra(experiment: Experiment, *, should_stop: ShouldStop = never) -> JacobianSpectra:
    """The spectra of ``experiment``'s network with Gaussian and with orthogonal weights of its σw.

    A scheme without a variance (identity, constant, lsuv) counts as σw = init_scale.

    Errors: `AnalysisUndefined` for batch norm, where a sample's output depends on the others.

    >>> small = Experiment(depth=3, width=8, batch=4, activation="linear", init_scale=0.5)
    >>> found = jacobian_spectra(small)
    >>> [round(s.log10_condition, 5) for s in found.schemes["orthogonal"]]
    [0.0, 0.0, 0.0]
    """
    norm = chosen_norm(experiment.norm)
    if norm is not None and norm.couples_samples:
        raise AnalysisUndefined(
            "norm",
            f"{experiment.norm} ties the samples of a batch together, so no sample has a Jacobian "
            "of its own; expected none, layer or rms",
        )
    width, depth = drawn_sigma_w(experiment), experiment.depth
    scale = experiment.init_scale if width is None else width
    depths = tuple(sorted({max(1, round(depth * (i + 1) / POINTS)) for i in range(POINTS)}))
    exact = _is_exact(experiment)
    found: dict[str, tuple[JacobianSpectrum | SpectrumEstimate, ...]] = {}
    # Not validated anew: σw of plain randn may be larger than a scale that one may type.
    update = {"init_scale": scale, "dtype": "float64"}
    drawn = {
        name: experiment.model_copy(update={"init": init, **update})
        for name, init in SCHEMES.items()
    }
    for name, each in drawn.items():
        matrices = block_matrices(each, should_stop)
        at = next((i for i, m in enumerate(matrices, 1) if not bool(torch.isfinite(m).all())), None)
        if at is not None:
            text = f"block {at} is not finite even in float64; expected a smaller σw"
            raise AnalysisUndefined("init_scale", text)
        found[name] = (
            _exact(matrices, depths) if exact else _estimated(matrices, depths, should_stop)
        )
    theory, reason = _theory(drawn, depths)
    return JacobianSpectra(experiment, scale, depths, exact, found, theory, reason)


def _exact(matrices: Sequence[Tensor], depths: Sequence[int]) -> tuple[JacobianSpectrum, ...]:
    alive = _alive(matrices)
    some = [d for d in depths if d <= alive]
    found = spectrum_through_depth(matrices[:alive], [None] * alive, some) if some else []
    dead = [
        JacobianSpectrum((), min(len(matrices[0]), matrices[d - 1].shape[1]), None)
        for d in depths
        if d > alive
    ]
    return (*found, *dead)


def _alive(matrices: Sequence[Tensor]) -> int:
    """How many blocks the signal passes before every direction is lost for good."""
    product = torch.eye(len(matrices[0]), dtype=matrices[0].dtype)
    for i, matrix in enumerate(matrices):
        product = product @ matrix
        peak = product.abs().max()
        if not peak:
            return i
        product = product / peak
    return len(matrices)


def _estimated(
    matrices: Sequence[Tensor], depths: Sequence[int], should_stop: ShouldStop
) -> tuple[SpectrumEstimate, ...]:
    found = []
    for depth in depths:
        stop_if(should_stop)
        part = matrices[:depth]
        generator = torch.Generator().manual_seed(0)  # for the probes: the same page twice
        found.append(estimate_spectrum(part, [None] * depth, generator=generator))
    return tuple(found)


def block_matrices(experiment: Experiment, should_stop: ShouldStop = never) -> list[Tensor]:
    """The transposed Jacobian of every hidden block at the first sample, (n_in, n_out) each: M in
    y = x @ M for a small change of the block's input."""
    matrices: list[Tensor] = []
    for step in passes(Network(experiment), should_stop):
        if isinstance(step, LossStep):
            break
        if not isinstance(step, ForwardStep) or step.info.block > experiment.depth:
            continue
        before = matrices.pop() if len(matrices) == step.info.block else None
        matrices.append(step.layer.pushforward(before, step.x[:1]))  # (n_in, n_out)
    return matrices


def _theory(
    experiments: dict[str, Experiment], depths: Sequence[int]
) -> tuple[dict[str, tuple[Stretch | None, ...]], str | None]:
    """Of each scheme at these depths; or nothing, and why."""
    found: dict[str, tuple[Stretch | None, ...]] = {name: (None,) * len(depths) for name in SCHEMES}
    for name, experiment in experiments.items():
        net = network_of(experiment, experiment.input_moments.mean_square)
        if isinstance(net, str):
            return found, net
        try:
            through = stretches(net)
        except (MomentsUndefined, NoStretch) as error:
            return found, f"no theory for this setting: {error}"
        found[name] = tuple(through[d - 1] for d in depths)
    return found, None


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Singular values through depth, and what becomes of pairs of inputs meanwhile."""

    spectra: JacobianSpectra
    correlation: Correlations

    def to_dict(self) -> dict[str, Any]:
        return {**self.spectra.to_dict(), "correlation": self.correlation.to_dict()}


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
