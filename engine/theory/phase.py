"""The plane of (σw, σb) for one activation: phases, lengths, the edge, the trainable depth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from layerscope.engine.basis.cancellation import ShouldStop, never, stop_if
from layerscope.engine.theory.critical import CriticalPoint, critical_curve
from layerscope.engine.theory.meanfield import FixedPoint, fixed_point

__all__ = ["PhaseDiagram", "PhaseRow", "axis", "phase_diagram", "phase_rows"]

FINEST = 512  # points per axis, at most


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """The fixed points along σw at one σb."""

    index: int
    sigma_b: float
    points: tuple[FixedPoint, ...]

    def to_dict(self) -> dict[str, object]:
        """Columns over σw, JSON-able; ``None`` where a number is infinite or does not exist."""
        names = ("chi1", "q_star", "c_star", "xi_c", "trainable_depth", "phase", "kind")
        columns = {name: [getattr(p, name) for p in self.points] for name in names}
        return {"row": self.index, "sigma_b": self.sigma_b, **columns}


@dataclass(frozen=True, slots=True)
class PhaseDiagram:
    """Rows by ascending σb over the axis ``sigma_w``, and the edge of chaos as computed points."""

    activation: str
    sigma_w: tuple[float, ...]
    rows: tuple[PhaseRow, ...]
    critical: tuple[CriticalPoint, ...]

    def to_dict(self) -> dict[str, object]:
        """JSON-able; ``critical`` is a list of points with σw and σb beside their squares."""
        return {
            "activation": self.activation,
            "sigma_w": list(self.sigma_w),
            "rows": [row.to_dict() for row in self.rows],
            "critical": [
                {"sigma_w": math.sqrt(p.sigma_w2), "sigma_b": math.sqrt(p.sigma_b2), **asdict(p)}
                for p in self.critical
            ],
        }


def axis(low: float, high: float, points: int) -> tuple[float, ...]:
    """``points`` evenly spaced values from ``low`` to ``high``.

    Errors: ``ValueError`` naming bounds out of order, negative or not finite, or a size that is
    not in 2 … 512.

    Example:
        >>> axis(0.0, 1.0, 3)
        (0.0, 0.5, 1.0)
    """
    if not (math.isfinite(high) and 0 <= low < high):
        raise ValueError(f"expected 0 ≤ low < high < inf, got {low!r} and {high!r}")
    if not 2 <= points <= FINEST:
        raise ValueError(f"expected 2 to {FINEST} points, got {points!r}")
    return tuple(np.linspace(low, high, points).tolist())


def phase_rows(
    activation: str, sigma_w: tuple[float, ...], sigma_b: tuple[float, ...]
) -> Iterator[PhaseRow]:
    """One row after another, so that a diagram can be drawn while it is computed.

    Every point is the fixed point that an input of unit variance reaches.
    """
    for index, b in enumerate(sigma_b):
        points = tuple(fixed_point(activation, w * w, b * b) for w in sigma_w)
        yield PhaseRow(index, b, points)


def phase_diagram(
    activation: str,
    *,
    sigma_w: tuple[float, float, int] = (0.0, 4.0, 60),
    sigma_b: tuple[float, float, int] = (0.0, 2.0, 40),
    should_stop: ShouldStop = never,
) -> PhaseDiagram:
    """The whole diagram; each axis is given as (low, high, points).

    Errors: as `axis`; ``KeyError`` for an unknown activation; ``Stopped`` before the next row once
    ``should_stop()`` is true.

    Example:
        >>> diagram = phase_diagram("tanh", sigma_w=(0.5, 3.0, 3), sigma_b=(0.0, 0.5, 2))
        >>> [p.phase for p in diagram.rows[0].points]
        ['ordered', 'chaotic', 'chaotic']
    """
    over_w, over_b = axis(*sigma_w), axis(*sigma_b)
    rows: list[PhaseRow] = []
    for row in phase_rows(activation, over_w, over_b):
        stop_if(should_stop)
        rows.append(row)
    curve = critical_curve(activation, max_sigma_w=over_w[-1], max_sigma_b=max(over_b[-1], 1e-6))
    inside = (
        p for p in curve
        if math.sqrt(p.sigma_w2) >= over_w[0] and math.sqrt(p.sigma_b2) >= over_b[0]
    )  # fmt: skip
    return PhaseDiagram(activation, over_w, tuple(rows), tuple(inside))
