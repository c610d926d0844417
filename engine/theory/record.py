"""What a prediction holds, and its JSON form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from layerscope.engine.basis.role import Role
from layerscope.engine.theory.forecast import Forecast, Level, forecast
from layerscope.engine.theory.meanfield import Phase
from layerscope.engine.theory.spread import Spread, number

__all__ = ["LayerPrediction", "Prediction", "forecasts", "places", "without_band"]


@dataclass(frozen=True, slots=True)
class LayerPrediction:
    """One layer of the network; ``chi`` of a linear layer is the factor by which the second moment
    of the gradient changes over its whole block, going back. ``weight_gradient``: log10 of its root
    mean square over seeds, -inf where it is 0."""

    index: int
    name: str
    kind: str
    role: Role
    block: int
    units: int
    activation: Spread
    gradient: Spread | None
    weight_gradient: float | None
    chi: float | None

    def to_dict(self) -> dict[str, object]:
        """JSON-able."""
        weight = None
        if self.weight_gradient is not None:
            log10 = self.weight_gradient if math.isfinite(self.weight_gradient) else None
            weight = {"rms": number(log10), "log10_rms": log10}
        return {
            "index": self.index, "name": self.name, "kind": self.kind, "block": self.block,
            "units": self.units, "activation": self.activation.to_dict(),
            "gradient": self.gradient.to_dict() if self.gradient else None,
            "weight_gradient": weight, "chi": self.chi,
        }  # fmt: skip


def without_band(
    layers: Sequence[LayerPrediction], of: Literal["activation", "gradient"]
) -> list[str]:
    """A sentence for each reason why layers have no band, with their blocks."""
    found: dict[str, list[int]] = {}
    for layer in layers:
        spread = layer.activation if of == "activation" else layer.gradient
        if spread is not None and spread.no_band is not None:
            found.setdefault(spread.no_band, []).append(layer.block)
    return [f"no band of the {of}s at {places(blocks)}: {why}" for why, blocks in found.items()]


def places(blocks: Sequence[int]) -> str:
    """Layers in words.

    >>> places([1, 2, 3]), places([1, 3]), places([4])
    ('layers 1 to 3', 'some of layers 1 to 3', 'layer 4')
    """
    low, high = min(blocks), max(blocks)
    if low == high:
        return f"layer {low}"
    some = "" if len(set(blocks)) == high - low + 1 else "some of "
    return f"{some}layers {low} to {high}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Everything theory says of one specification, or why it says nothing.

    ``q_kind`` tells what ``q_star`` is (see `FixedPoint`); with a norm the lengths are those behind
    it. Scales and phases are ``None`` where the notion does not apply.
    """

    available: bool
    reason: str | None = None
    gradient_reason: str | None = None
    notes: tuple[str, ...] = ()
    sigma_w2: float | None = None
    sigma_b2: float | None = None
    chi1: float | None = None
    chi1_is: str | None = None
    """What χ1 is the ratio of, where it is not σw²E[φ'²]."""
    q_star: float | None = None
    q_kind: str | None = None
    c_star: float | None = None
    xi_q: float | None = None
    xi_c: float | None = None
    trainable_depth: float | None = None
    phase: Phase | None = None
    layers: tuple[LayerPrediction, ...] = ()
    forecast: tuple[Forecast, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """JSON-able; no NaN and no infinity anywhere."""
        plain = (
            "available", "reason", "gradient_reason", "sigma_w2", "sigma_b2", "chi1", "chi1_is",
            "q_star", "q_kind", "c_star", "xi_q", "xi_c", "trainable_depth", "phase",
        )  # fmt: skip
        out: dict[str, object] = {name: getattr(self, name) for name in plain}
        out["notes"] = list(self.notes)
        out["layers"] = [layer.to_dict() for layer in self.layers]
        out["forecast"] = [asdict(f) for f in self.forecast]
        return out


def forecasts(
    layers: Sequence[LayerPrediction], batch: int, dtype: str, *, backward: bool = True
) -> tuple[Forecast, ...]:
    """Where ``dtype`` and each narrower format run out, going forward and back."""
    hidden = [x for x in layers if x.role == "linear_map"][:-1]
    depth = len(hidden)

    def levels(which: Literal["activation", "gradient"]) -> list[Level]:
        found = []
        for layer in layers:
            spread: Spread | None = getattr(layer, which)
            if spread is not None:
                entries = batch * layer.units
                found.append(Level(layer.index, layer.block, spread.typical, entries))
        return found

    def slope(which: Literal["activation", "gradient"], pair: list[LayerPrediction]) -> float:
        if len(pair) < 2:
            return 0.0
        a, b = (getattr(x, which) for x in pair)
        if a is None or b is None or a.typical is None or b.typical is None:
            return 0.0
        return float(b.typical - a.typical)

    out = forecast(
        [x for x in levels("activation") if x.block <= depth] or levels("activation"),
        direction="forward", dtype=dtype, depth=depth, slope=slope("activation", hidden[-2:]),
    )  # fmt: skip
    if backward and layers[-1].gradient is not None:
        out += forecast(
            levels("gradient")[::-1], direction="backward", dtype=dtype, depth=depth,
            slope=slope("gradient", hidden[1::-1]),
        )  # fmt: skip
    return tuple(out)
