"""NaN and Inf: where they first appear, which came first, and where the drift began."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import LayerRecord
from layerscope.engine.statistics import Statistics

__all__ = ["nonfinite"]


@rule(
    formula="any entry of an activation or a gradient is NaN or ±Inf",
    source="IEEE 754; the notes' 50 layers of randn(100, 100)",
    help="No threshold: a single NaN or Inf reaches every later layer and every gradient.",
    early=True,
    explains=(
        "exploding_activation", "exploding_gradient", "vanishing_gradient", "dead_units",
        "saturation", "rank_collapse", "mean_shift", "precision_loss", "symmetry",
    ),
)  # fmt: skip
def nonfinite(evidence: Evidence) -> Sequence[Finding]:
    """The first non-finite layer going forward, or else the first going back."""
    forward = [r for r in evidence.records if _bad(r.activation)]
    if forward:
        return [_forward(evidence, forward)]
    backward = [r for r in reversed(evidence.records) if r.gradient and _bad(r.gradient)]
    return [_backward(evidence, backward)] if backward else []


def _bad(s: Statistics) -> bool:
    return s.nan + s.posinf + s.neginf > 0


def _first(
    records: Sequence[LayerRecord], kind: str, which: str = "activation"
) -> LayerRecord | None:
    for r in records:
        s: Statistics | None = getattr(r, which)
        if s is not None and (s.nan if kind == "nan" else s.posinf + s.neginf) > 0:
            return r
    return None


def _forward(evidence: Evidence, bad: Sequence[LayerRecord]) -> Finding:
    e = evidence.experiment
    inf, nan = _first(bad, "inf"), _first(bad, "nan")
    first, last = bad[0], bad[-1]
    trend = evidence.forward_trend
    largest = torch.finfo(e.torch_dtype).max
    if inf is not None and (nan is None or inf.info.index <= nan.info.index):
        title = f"Activations overflow {e.dtype} at layer {inf.info.block}"
        if nan is not None:
            title += f"; NaN from {nan.info.block} on"
        cause = f"Inf − Inf makes NaN at {nan.info.block}. " if nan is not None else ""
        growth = (
            f"Each block multiplies the signal by about {trend.factor:.3g}; {e.dtype} ends at "
            f"{largest:.3g}. "
            if trend
            else f"{e.dtype} ends at {largest:.3g}. "
        )
        explanation = growth + cause + "No gradient survives."
    else:
        title = f"NaN from layer {first.info.block} on"
        explanation = f"{first.info.name} is the first layer with a NaN; no Inf came before it."
    return Finding(
        rule="nonfinite", severity="error", title=title, explanation=explanation,
        direction="forward", layers=(first.info.index, last.info.index),
        blocks=(first.info.block, last.info.block),
        evidence={
            "first_inf": inf and inf.info.name,
            "first_inf_block": inf and inf.info.block,
            "first_nan": nan and nan.info.name,
            "first_nan_block": nan and nan.info.block,
            "factor_per_block": trend and trend.factor,
            "drift_from_block": trend and trend.blocks[0],
        },
        threshold={"nonfinite_entries": 0, "dtype_max": largest},
        chart="activations",
    )  # fmt: skip


def _backward(evidence: Evidence, bad: Sequence[LayerRecord]) -> Finding:
    e = evidence.experiment
    inf, nan = _first(bad, "inf", "gradient"), _first(bad, "nan", "gradient")
    first, last = bad[0], bad[-1]
    word = "overflow" if inf is not None and (nan is None or inf is first) else "become NaN"
    return Finding(
        rule="nonfinite", severity="error",
        title=f"Gradients {word} at layer {first.info.block}, going back",
        explanation=(
            f"The activations are finite, but going back {first.info.name} is the first layer "
            f"whose gradient is not: {e.dtype} ends at {torch.finfo(e.torch_dtype).max:.3g}."
        ),
        direction="backward", layers=(last.info.index, first.info.index),
        blocks=(last.info.block, first.info.block),
        evidence={
            "first_inf": inf and inf.info.name,
            "first_inf_block": inf and inf.info.block,
            "first_nan": nan and nan.info.name,
            "first_nan_block": nan and nan.info.block,
        },
        threshold={"nonfinite_entries": 0, "dtype_max": torch.finfo(e.torch_dtype).max},
        chart="gradients",
    )  # fmt: skip
