"""The correlation of two inputs through an experiment's depth, beside what the c-map predicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from layerscope.engine.analyses.base import analysis
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost, cost
from layerscope.engine.execution.memory import forward_bytes
from layerscope.engine.execution.network import Network, seeds
from layerscope.engine.execution.passes import ForwardStep, LossStep, passes
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import chosen_norm
from layerscope.engine.theory.experiments import network_of
from layerscope.engine.theory.moments import MomentsUndefined
from layerscope.engine.theory.pairs import NoCorrelation, correlations_through

__all__ = [
    "PAIRS", "STARTS", "CorrelationPath", "Correlations", "correlations", "correlations_cost",
]  # fmt: skip

STARTS = (0.0, 0.6, 0.95)
"""Correlations of the inputs."""
PAIRS = 16
"""Pairs of inputs for each start, through the same network."""


@dataclass(frozen=True, slots=True)
class CorrelationPath:
    """From one start: mean, lowest and highest of the pairs, and the theory, by block.

    ``theory`` is empty where there is none; None where a pre-activation is zero or not finite.
    """

    start: float
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    theory: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Correlations:
    """What became of pairs of inputs; ``reason`` says why there is no theory, or no measurement."""

    paths: tuple[CorrelationPath, ...]
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        return {"pairs": PAIRS, **asdict(self)}


def correlations_cost(experiment: Experiment) -> Cost:
    """What `correlations` takes: at most one experiment in float64 with a sample for each input."""
    pairs = _of_pairs(experiment)
    return Cost(cost(pairs).flops, forward_bytes(pairs))


@analysis(
    "correlations",
    title="Correlations",
    formula="cₗ = zₗ·z′ₗ / (|zₗ| |z′ₗ|), z and z′ the pre-activations of two inputs in block l",
    source="Poole et al. 2016; Schoenholz et al. 2017 (the c-map)",
    help="How two inputs come to look alike, or are torn apart, from layer to layer.",
    cost=correlations_cost,
)
def correlations(experiment: Experiment, *, should_stop: ShouldStop = never) -> Correlations:
    """Pairs of inputs of unit mean square through the network of ``experiment``, in float64.

    Measured is the cosine of the pre-activations of every hidden block, as the theory has it.

    >>> found = correlations(Experiment(depth=2, width=400, activation="linear"))
    >>> abs(found.paths[1].mean[1] - 0.6) < 0.05, round(found.paths[1].theory[1], 9)
    (True, 0.6)
    """
    norm = chosen_norm(experiment.norm)
    if norm is not None and norm.couples_samples:
        return Correlations(
            (), f"{experiment.norm} norm ties all inputs together: no two are a pair of their own"
        )
    if experiment.n_inputs < 2:
        return Correlations((), "one input feature: two inputs are parallel or opposite")
    measured = _measure(experiment, should_stop)  # (depth, starts, pairs)
    predicted, reason = _predict(experiment)
    paths = []
    for i, start in enumerate(STARTS):
        rows = [row[i] for row in measured]
        paths.append(
            CorrelationPath(
                start,
                tuple(_none(r.mean()) for r in rows),
                tuple(_none(r.min()) for r in rows),
                tuple(_none(r.max()) for r in rows),
                predicted[i] if predicted else (),
            )
        )
    return Correlations(tuple(paths), reason)


def _none(value: Tensor) -> float | None:
    return float(value) if math.isfinite(float(value)) else None


def _inputs(experiment: Experiment) -> Tensor:
    """(starts · pairs · 2, n): pairs whose cosine is exactly the start's, each of mean square 1."""
    n = experiment.n_inputs
    generator = torch.Generator().manual_seed(seeds(experiment)[0])
    draw = torch.randn(2, len(STARTS), PAIRS, n, generator=generator, dtype=torch.float64)
    first = _unit(draw[0])
    other = _unit(draw[1] - (draw[1] * first).sum(-1, keepdim=True) * first)
    c = torch.tensor(STARTS, dtype=torch.float64)[:, None, None]
    second = c * first + (1 - c**2).sqrt() * other
    return math.sqrt(n) * torch.stack((first, second), 2).reshape(-1, n)


def _unit(x: Tensor) -> Tensor:
    length: Tensor = x.norm(dim=-1, keepdim=True)
    return x / length


def _of_pairs(experiment: Experiment) -> Experiment:
    update = {"dtype": "float64", "data": "gaussian", "loss": "mse",
              "batch": len(STARTS) * PAIRS * 2, "inputs": experiment.n_inputs}  # fmt: skip
    return experiment.model_copy(update=update)


def _measure(experiment: Experiment, should_stop: ShouldStop) -> list[Tensor]:
    network = Network(_of_pairs(experiment))
    network.x = _inputs(experiment)
    found: list[Tensor] = []
    for step in passes(network, should_stop):
        if isinstance(step, LossStep):
            break
        if not isinstance(step, ForwardStep) or step.info.block > experiment.depth:
            continue
        if step.layer.role == "linear_map":
            z = _unit(step.output / step.output.abs().amax(-1, keepdim=True))  # no square overflows
            pairs = z.reshape(len(STARTS), PAIRS, 2, -1)
            found.append((pairs[:, :, 0] * pairs[:, :, 1]).sum(-1))  # (starts, pairs)
    return found


def _predict(experiment: Experiment) -> tuple[Sequence[tuple[float, ...]], str | None]:
    net = network_of(_of_pairs(experiment), 1.0)
    if isinstance(net, str):
        return (), net
    try:
        return correlations_through(net, STARTS), None
    except (NoCorrelation, MomentsUndefined) as error:
        return (), f"no theory for this setting: {error}"
