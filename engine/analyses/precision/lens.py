"""The precision lens: every tensor of a network against every format, and real runs beside it.

The reference run is in float64, so that nothing is lost before it is looked at; a network's numbers
are drawn in float32 and cast, so that it is the same network in every format.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any, Literal

from layerscope.engine.analyses.precision.fit import Fit, fit
from layerscope.engine.analyses.precision.formats import FORMATS
from layerscope.engine.analyses.precision.loss_scale import LossScale, loss_scale
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import cost
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.passes import BackwardStep, ForwardStep, passes
from layerscope.engine.execution.records import LayerRecord
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import Statistics

__all__ = [
    "KINDS", "REAL", "SLOW", "Kind", "Lens", "RealRun", "Seen", "affordable", "compared", "lens",
    "precision", "real_run", "reference", "tensors",
]  # fmt: skip

Kind = Literal["activation", "gradient", "weight", "weight_gradient"]
KINDS: tuple[Kind, ...] = ("activation", "gradient", "weight", "weight_gradient")
REAL = ("float32", "bfloat16", "float16")
"""The formats in which this machine can run a network."""
SLOW: dict[str, float] = {"bfloat16": 2e10, "float16": 4e9}
"""Operations up to which a run is worth waiting for, a few seconds: CPUs emulate narrow formats."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One tensor: what it is, and its statistics. ``parameter`` is empty but for parameters."""

    kind: Kind
    layer: int
    block: int
    name: str
    parameter: str
    statistics: Statistics = field(repr=False)
    ends_block: bool

    @property
    def fits(self) -> dict[str, Fit]:
        """By format."""
        return {name: fit(self.statistics.histogram, f) for name, f in FORMATS.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with the histogram."""
        s = self.statistics
        return {
            "kind": self.kind, "layer": self.layer, "block": self.block, "name": self.name,
            "parameter": self.parameter or None, "count": s.count, "zeros": s.zeros,
            "nonfinite": s.count - s.finite, "histogram": s.histogram.to_dict(),
            "formats": {name: f.to_dict() for name, f in self.fits.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class RealRun:
    """The same network run in one dtype; figures of every tensor as it came out.

    ``broken``: the first tensor with an entry that is not finite, in the order of computation.
    """

    dtype: str
    loss: float
    tensors: tuple[Seen, ...] = field(repr=False)
    broken: Seen | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; a loss that is not finite is None."""
        return {
            "dtype": self.dtype,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "broken": self.broken
            and {k: getattr(self.broken, k) for k in ("kind", "layer", "block", "name")},
            "tensors": [
                {
                    "kind": t.kind, "layer": t.layer, "parameter": t.parameter or None,
                    "zeros": t.statistics.zeros, "subnormal": t.statistics.subnormal,
                    "nonfinite": t.statistics.count - t.statistics.finite,
                    "std": t.statistics.std,
                }
                for t in self.tensors
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lens:
    """The reference run seen through every format.

    ``runs`` are those really run; ``not_run`` says of the others why not.
    """

    experiment: Experiment
    loss: float
    tensors: tuple[Seen, ...] = field(repr=False)
    scales: dict[str, LossScale]
    runs: tuple[RealRun, ...] = ()
    not_run: dict[str, str] = field(default_factory=dict)

    def of(self, kind: Kind) -> list[Seen]:
        """The tensors of one kind, in forward order."""
        return [t for t in self.tensors if t.kind == kind]

    def total(self, kind: Kind, name: str) -> Fit:
        """All tensors of a kind together, in a format."""
        fits = (fit(t.statistics.histogram, FORMATS[name]) for t in self.of(kind))
        return reduce(add, fits, Fit(0, 0, 0, 0, 0, 0))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with every tensor."""
        return {
            "experiment": self.experiment.to_dict(),
            "reference": "float64",
            "loss": self.loss if math.isfinite(self.loss) else None,
            "formats": [f.to_dict() for f in FORMATS.values()],
            "totals": {
                kind: {name: self.total(kind, name).to_dict() for name in FORMATS} for kind in KINDS
            },
            "loss_scales": {name: s.to_dict() for name, s in self.scales.items()},
            "runs": [{**r.to_dict(), "against": compared(self.tensors, r)} for r in self.runs],
            "not_run": self.not_run,
            "tensors": [t.to_dict() for t in self.tensors],
        }


def tensors(records: Sequence[LayerRecord]) -> list[Seen]:
    """Every tensor of these records: activations and weights as they are computed, then gradients.

    What was not recorded yet is left out.
    """
    forward: list[Seen] = []
    backward: list[Seen] = []

    def see(at: list[Seen], kind: Kind, r: LayerRecord, s: Statistics | None, name: str) -> None:
        if s is not None:
            i = r.info
            at.append(Seen(kind, i.index, i.block, i.name, name, s, i.ends_block))

    for r in records:
        for name, p in r.parameters.items():
            see(forward, "weight", r, p.value, name)
        see(forward, "activation", r, r.activation, "")
    for r in reversed(records):
        see(backward, "gradient", r, r.gradient, "")
        for name, p in r.parameters.items():
            see(backward, "weight_gradient", r, p.gradient, name)
    return forward + backward


def lens(
    experiment: Experiment, loss: float, seen: Sequence[Seen], runs: Sequence[RealRun] = ()
) -> Lens:
    """The lens over the tensors of a reference run."""
    gradients = [t.statistics for t in seen if t.kind in ("gradient", "weight_gradient")]
    scales = {name: loss_scale(gradients, f) for name, f in FORMATS.items()}
    return Lens(experiment, loss, tuple(seen), scales, tuple(runs))


def reference(experiment: Experiment) -> Experiment:
    """The experiment that the lens looks at: the same network in float64."""
    return experiment.model_copy(update={"dtype": "float64"})


def affordable(experiment: Experiment) -> tuple[list[str], dict[str, str]]:
    """The dtypes of `REAL` whose run is worth waiting for, and of the others why they are not run.

    >>> affordable(Experiment(width=400))[0]
    ['float32', 'bfloat16']
    """
    flops = cost(experiment).flops
    skipped = {
        dtype: f"not run: {flops:.3g} operations; more than {most:.0e} take too long in {dtype} "
        "on a CPU"
        for dtype, most in SLOW.items()
        if flops > most
    }
    return [dtype for dtype in REAL if dtype not in skipped], skipped


def real_run(experiment: Experiment, dtype: str, should_stop: ShouldStop = never) -> RealRun:
    """``experiment`` with its number format changed to ``dtype``.

    Errors: ``Stopped`` before the next layer once ``should_stop()`` is true.

    >>> real_run(Experiment(depth=1, width=4, batch=4), "float16").broken is None
    True
    """
    records: list[LayerRecord] = []
    loss = math.nan
    network = Network(experiment.model_copy(update={"dtype": dtype}))
    for step in passes(network, should_stop):
        if isinstance(step, ForwardStep):
            records.append(LayerRecord.forward(step))
        elif isinstance(step, BackwardStep):
            records[step.info.index].backward(step)
        else:
            loss = float(step.loss)
    seen = tensors(records)
    broken = next((t for t in seen if t.statistics.finite < t.statistics.count), None)
    return RealRun(dtype, loss, tuple(seen), broken)


def precision(
    experiment: Experiment,
    *,
    dtypes: Sequence[str] = REAL,
    not_run: dict[str, str] | None = None,
    should_stop: ShouldStop = never,
) -> Lens:
    """The lens over ``experiment``, and a real run in each of ``dtypes`` beside it.

    Errors: as `real_run`.

    >>> found = precision(Experiment(depth=1, width=4, batch=4), dtypes=["float16"])
    >>> found.total("activation", "float16").lost, found.runs[0].dtype
    (0, 'float16')
    """
    true = real_run(reference(experiment), "float64", should_stop)
    runs = [real_run(experiment, dtype, should_stop) for dtype in dtypes]
    found = lens(experiment, true.loss, true.tensors, runs)
    return replace(found, not_run=not_run or {})


def compared(true: Sequence[Seen], run: RealRun) -> dict[str, dict[str, float | None]]:
    """By kind, what the lens says of the reference's tensors, and what the run lost of them.

    The lens rounds the reference's tensors once each; in a run, errors also travel on: what has
    become Inf makes others NaN, and a gradient that is zero leaves nothing for the layers before.

    Returns:
        ``overflow_lens``, ``nonfinite_run``, ``underflow_lens``, ``zeros_run`` by kind; zeros are
        those that are no zeros in the reference.
    """
    out: dict[str, dict[str, float | None]] = {}
    pairs = list(zip(true, run.tensors, strict=True))
    for kind in KINDS:
        fits = Fit(0, 0, 0, 0, 0, 0)
        nonfinite = zeros = 0
        for ref, real in pairs:
            if ref.kind == kind:
                fits += fit(ref.statistics.histogram, FORMATS[run.dtype])
                nonfinite += real.statistics.count - real.statistics.finite
                nonfinite -= ref.statistics.count - ref.statistics.finite
                zeros += real.statistics.zeros - ref.statistics.zeros
        out[kind] = {
            "overflow_lens": fits.share(fits.overflow),
            "nonfinite_run": fits.share(max(0, nonfinite)),
            "underflow_lens": fits.share(fits.underflow),
            "zeros_run": fits.share(max(0, zeros)),
        }
    return out
