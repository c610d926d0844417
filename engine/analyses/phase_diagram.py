"""The phase diagram around an experiment: its activation's plane of σw and σb, and its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from layerscope.engine.analyses.base import analysis
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost
from layerscope.engine.execution.prices import prices
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import chosen_norm
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.theory import phase
from layerscope.engine.theory.experiments import predict_experiment
from layerscope.engine.theory.meanfield import TRAINABLE, FixedPoint, fixed_point
from layerscope.engine.theory.phase import PhaseDiagram

__all__ = [
    "GRID",
    "PhasePosition",
    "axis_ends",
    "drawn_sigma_w",
    "phase_diagram",
    "sigma_b",
    "sigma_w",
    "trainable_depth",
]

GRID = (41, 27)
"""Points along σw and σb: about a second of work; lines are drawn between them."""
REACH_W = (3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0, 100.0, 1000.0, 10000.0)
REACH_B = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 120.0)


@dataclass(frozen=True, slots=True)
class PhasePosition:
    """The phase diagram, and the experiment as a point of it.

    ``point`` is None where the experiment's weights have no variance, or not the same in all
    layers; ``reason`` says what keeps the diagram, which is of plain networks, from being the
    experiment's own.
    """

    experiment: Experiment
    diagram: PhaseDiagram
    sigma_w: float | None
    sigma_b: float
    point: FixedPoint | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment.to_dict(),
            "point": {
                "sigma_w": self.sigma_w,
                "sigma_b": self.sigma_b,
                "available": self.point is not None,
                "reason": self.reason,
                **(asdict(self.point) if self.point else {}),
            },
            **self.diagram.to_dict(),
        }


def trainable_depth(point: FixedPoint) -> float | None:
    """6 ξc, the depth to which two inputs can be told apart; None: no limit.

    Where correlations set no scale and lengths do (ReLU beyond its edge: the gradient grows, the
    correlation only creeps), 6/|ln χ1|, over which the gradient's second moment changes by e⁶.

    >>> trainable_depth(fixed_point("relu", 2.0, 0.0)) is None
    True
    """
    if point.trainable_depth is not None:
        return point.trainable_depth
    if point.phase == "critical" or not point.chi1:
        return None
    return TRAINABLE / abs(math.log(point.chi1))


def drawn_sigma_w(experiment: Experiment) -> float | None:
    """√(n·variance)·init_scale of the hidden layers, before the gains that some layers have; None
    where a scheme has no variance."""
    n = experiment.width
    variance = experiment.weight_variance(n, n)
    return None if variance is None else experiment.init_scale * math.sqrt(n * variance)


def sigma_w(experiment: Experiment) -> float | None:
    """σw = √(n·variance)·init_scale·gain of the hidden layers; None where a scheme has no variance,
    and where layers behind the first have different gains.

    >>> round(sigma_w(Experiment(init="kaiming_normal")), 12) == round(2**0.5, 12)
    True
    """
    drawn, gain = drawn_sigma_w(experiment), experiment.hidden_gain
    return None if drawn is None or gain is None else drawn * gain


def sigma_b(experiment: Experiment) -> float:
    """Standard deviation of the hidden layers' biases."""
    return experiment.bias_std or math.sqrt(experiment.bias_variance(experiment.width))


def axis_ends(experiment: Experiment) -> tuple[float, float]:
    """How far the axes go: to round numbers beyond the experiment's own σw and σb."""
    w, b = sigma_w(experiment) or 0.0, sigma_b(experiment)
    return _beyond(REACH_W, 1.05 * w), _beyond(REACH_B, 1.05 * b)


def _beyond(ends: Sequence[float], value: float) -> float:
    """The first of ``ends`` that is not below, or else the next power of ten."""
    far = next((end for end in ends if value <= end), None)
    return 10.0 ** math.ceil(math.log10(value)) if far is None else far


def _cost(_: Experiment) -> Cost:
    """The same second of work, and a few megabytes, whatever the network's size."""
    return Cost(int(prices().per_second), 16 * 2**20)


@analysis(
    "phase",
    title="Phase diagram",
    formula="χ₁ = σw² E[φ′(√q* z)²], z ~ N(0, 1): below 1 ordered, above chaotic",
    source="Poole et al. 2016; Schoenholz et al. 2017",
    help="Ordered, chaotic, and the edge between them, for weights of std σw/√n and biases of "
    "std σb; and where the experiment stands.",
    cost=_cost,
)
def phase_diagram(experiment: Experiment, *, should_stop: ShouldStop = never) -> PhasePosition:
    """The phase diagram of the experiment's activation; the plane itself is kept for the next one.

    >>> found = phase_diagram(Experiment())
    >>> found.point.phase, round(found.sigma_w, 3), round(found.diagram.critical[0].sigma_w2, 9)
    ('critical', 1.414, 2.0)
    """
    far_w, far_b = axis_ends(experiment)
    diagram = _diagram(experiment.phi, far_w, far_b, _Ask(should_stop))
    w, b, said = sigma_w(experiment), sigma_b(experiment), predict_experiment(experiment)
    reason = None if said.available else said.reason
    if chosen_norm(experiment.norm) or experiment.residual:
        reason = "the diagram is of plain networks: norms and residual sums change these recursions"
    elif experiment.hidden_gain is None:
        reason = "the diagram is of layers that are alike: these have different gains"
    elif w is None and reason is None:
        calibrated = INITS[experiment.init].calibrated_std is not None
        of_these = "takes it from the batch" if calibrated else "has none"
        reason = f"the diagram is of weights drawn with a variance: {experiment.init} {of_these}"
    point = None
    if w is not None:
        point = fixed_point(experiment.phi, w * w, b * b)
    return PhasePosition(experiment, diagram, w, b, point, reason)


@dataclass(frozen=True, slots=True)
class _Ask:
    """``should_stop`` as an argument that is no part of a cached call's key."""

    should_stop: ShouldStop = field(compare=False)


@lru_cache(maxsize=64)
def _diagram(activation: str, far_w: float, far_b: float, ask: _Ask) -> PhaseDiagram:
    w, b = (0.0, far_w, GRID[0]), (0.0, far_b, GRID[1])
    return phase.phase_diagram(activation, sigma_w=w, sigma_b=b, should_stop=ask.should_stop)
