"""Every tensor of a network, run in float64, against every number format, and real runs in those
beside it: drawn in float32 and cast, it is the same network in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from layerscope.engine.analyses.base import analysis
from layerscope.engine.analyses.precision.formats import FORMATS, Fit, fit
from layerscope.engine.analyses.precision.loss_scale import LossScale, loss_scale
from layerscope.engine.analyses.precision.runs import (
    KINDS,
    FormatRun,
    Kind,
    TensorSummary,
    run_in_format,
)
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.execution.cost import Cost, cost, passes_flops
from layerscope.engine.execution.memory import RECORD_BYTES
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.experiment.specification import Experiment

__all__ = ["RUNNABLE", "PrecisionReport", "affordable_dtypes", "precision"]

RUNNABLE = ("float32", "bfloat16", "float16")
"""The formats in which this machine can run a network."""
AFFORDABLE = 1.5e11
"""Operations of float32 up to which a run in a narrow format is worth waiting for, a few seconds:
CPUs emulate them. At typical prices, so that the answer is the same on every machine."""


@dataclass(frozen=True, slots=True)
class PrecisionReport:
    """The tensors of the reference run, rounded to every format; and the runs in some formats, or
    why they were ``not_run``."""

    experiment: Experiment
    loss: float
    tensors: tuple[TensorSummary, ...] = field(repr=False)
    scales: dict[str, LossScale]
    runs: tuple[FormatRun, ...]
    not_run: dict[str, str]

    def of(self, kind: Kind) -> list[TensorSummary]:
        """The tensors of one kind, in forward order."""
        return [t for t in self.tensors if t.kind == kind]

    def total(self, kind: Kind, name: str) -> Fit:
        """All tensors of a kind together, in a format."""
        fits = (fit(t.statistics.histogram, FORMATS[name]) for t in self.of(kind))
        return reduce(add, fits, Fit(0, 0, 0, 0, 0, 0))

    def against(self, run: FormatRun) -> dict[str, dict[str, float | None]]:
        """By kind, what rounding the reference's tensors loses, and what the run lost of them.

        Rounding takes the reference's tensors once each; in a run, errors also travel on: what has
        become Inf makes others NaN, and a gradient that is zero leaves nothing for the layers
        before. ``zeros_run`` are those that are no zeros in the reference.
        """
        out: dict[str, dict[str, float | None]] = {}
        for kind in KINDS:
            rounded = self.total(kind, run.dtype)
            pairs = [
                (before.statistics, after.statistics)
                for before, after in zip(self.tensors, run.tensors, strict=True)
                if before.kind == kind
            ]
            nonfinite = sum((b.count - b.finite) - (a.count - a.finite) for a, b in pairs)
            zeros = sum(real.zeros - reference.zeros for reference, real in pairs)
            out[kind] = {
                "overflow_lens": rounded.share(rounded.overflow),
                "nonfinite_run": rounded.share(max(0, nonfinite)),
                "underflow_lens": rounded.share(rounded.underflow),
                "zeros_run": rounded.share(max(0, zeros)),
            }
        return out

    def to_dict(self) -> dict[str, Any]:
        return {
            "experiment": self.experiment.to_dict(),
            "reference": "float64",
            "loss": self.loss if math.isfinite(self.loss) else None,
            "formats": [f.to_dict() for f in FORMATS.values()],
            "totals": {
                kind: {name: self.total(kind, name).to_dict() for name in FORMATS} for kind in KINDS
            },
            "loss_scales": {name: s.to_dict() for name, s in self.scales.items()},
            "runs": [{**r.to_dict(), "against": self.against(r)} for r in self.runs],
            "not_run": self.not_run,
            "tensors": [t.to_dict() for t in self.tensors],
        }


def affordable_dtypes(experiment: Experiment) -> tuple[list[str], dict[str, str]]:
    """The dtypes of `RUNNABLE` whose run is worth waiting for, and of the others why not.

    >>> affordable_dtypes(Experiment(width=400))[0]
    ['float32', 'bfloat16']
    """
    each = {d: passes_flops(_in(experiment, d), TYPICAL) for d in RUNNABLE if d != "float32"}
    skipped = {
        dtype: f"not run: on a CPU {dtype} takes as long as {flops:.3g} operations in float32; "
        f"more than {AFFORDABLE:.2g} take too long"
        for dtype, flops in each.items()
        if flops > AFFORDABLE
    }
    return [dtype for dtype in RUNNABLE if dtype not in skipped], skipped


def _in(experiment: Experiment, dtype: str) -> Experiment:
    return experiment.model_copy(update={"dtype": dtype})


def _cost(experiment: Experiment) -> Cost:
    runs = [cost(_in(experiment, dtype)) for dtype in affordable_dtypes(experiment)[0]]
    whole = reduce(Cost.then, runs, cost(_in(experiment, "float64")))
    return whole.beside(Cost(0, len(runs) * (experiment.depth + 1) * RECORD_BYTES * 2))


@analysis(
    "precision",
    title="Precision",
    formula="share of the entries beyond a format's largest, or below its smallest, number",
    source="Micikevicius et al. 2018, Mixed precision training; IEEE 754-2019",
    help="Where every tensor's numbers lie on the scale of powers of two, and what each number "
    "format would lose of them.",
    cost=_cost,
)
def precision(
    experiment: Experiment, *, dtypes: Sequence[str] | None = None, should_stop: ShouldStop = never
) -> PrecisionReport:
    """Every tensor of ``experiment`` against every format, and a run in each of ``dtypes``.

    Without ``dtypes`` those are run that are worth waiting for.

    >>> found = precision(Experiment(depth=1, width=4, batch=4), dtypes=["float16"])
    >>> found.total("activation", "float16").lost, found.runs[0].dtype
    (0, 'float16')
    """
    chosen, skipped = affordable_dtypes(experiment) if dtypes is None else (dtypes, {})
    reference = run_in_format(experiment, "float64", should_stop)
    gradients = [
        t.statistics for t in reference.tensors if t.kind in ("gradient", "weight_gradient")
    ]
    own = experiment.backward_scale
    scales = {name: loss_scale(gradients, f, own) for name, f in FORMATS.items()}
    runs = tuple(run_in_format(experiment, dtype, should_stop) for dtype in chosen)
    return PrecisionReport(experiment, reference.loss, reference.tensors, scales, runs, skipped)
