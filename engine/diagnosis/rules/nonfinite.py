"""NaN and Inf: where they first appear, which came first, and where the drift began."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.masks import Output, can_mask, healthy_masks
from layerscope.engine.execution.provenance import Ailment, Cause
from layerscope.engine.execution.records import Record
from layerscope.engine.statistics import Statistics

__all__ = ["nonfinite"]


@rule(
    formula="any entry of an activation or a gradient is NaN or ±Inf",
    source="IEEE 754; the notes' 50 layers of randn(100, 100)",
    help="No threshold: a single NaN or Inf reaches every later layer and every gradient.",
    early=True,
    covers=(
        "exploding_activation", "exploding_gradient", "vanishing_gradient", "dead_units",
        "saturation", "rank_collapse", "mean_shift", "precision_loss", "symmetry",
        "inert_parameters",
    ),
)  # fmt: skip
def nonfinite(evidence: Evidence) -> Finding | None:
    """The first non-finite layer going forward, or else the first going back."""
    backward = [r for r in reversed(evidence.records) if r.gradient and _bad(r.gradient)]
    finite = evidence.loss is not None and math.isfinite(evidence.loss)
    masks = healthy_masks(
        [_output(r) for r in evidence.records], fares_well=finite and not backward
    )
    places = enumerate(evidence.records)
    forward = [r for place, r in places if _bad(r.activation) and place not in masks]
    if forward:
        return _forward(evidence, forward)
    return _backward(evidence, backward, masked=bool(masks)) if backward else None


def _output(record: Record) -> Output:
    s, may = record.activation, can_mask(record.facts.role, parameters=bool(record.parameters))
    return Output(s.count, s.finite, s.nan + s.posinf, may)


def _bad(s: Statistics) -> bool:
    return s.nan + s.posinf + s.neginf > 0


def _first(records: Sequence[Record], kind: str, which: str = "activation") -> Record | None:
    for r in records:
        s: Statistics | None = getattr(r, which)
        if s is not None and (s.nan if kind == "nan" else s.posinf + s.neginf) > 0:
            return r
    return None


def _forward(evidence: Evidence, bad: Sequence[Record]) -> Finding:
    inf, nan = _first(bad, "inf"), _first(bad, "nan")
    first, trend = bad[0], evidence.forward_trend
    dtype, largest = first.facts.dtype, torch.finfo(first.facts.torch_dtype).max
    if inf is not None and (nan is None or inf.facts.index <= nan.facts.index):
        title = f"Activations overflow {dtype} at layer {evidence.label(inf)}"
        if nan is not None:
            title += f"; NaN from {evidence.label(nan)} on"
        growth = f"Each block multiplies the signal by about {trend.per_block()}. " if trend else ""
    else:
        title = f"NaN from layer {evidence.label(first)} on"
        growth = ""
    explanation = f"{growth}{_told('activation', inf, nan)}{_lost_gradients(evidence)}"
    return evidence.finding(
        "nonfinite", "error", bad, title=title, explanation=explanation, direction="forward",
        evidence={
            **_firsts(evidence, inf, nan),
            "factor_per_block": trend and trend.factor,
            "drift_from_block": trend and trend.blocks[0],
            **_causes("activation", inf, nan),
        },
        threshold={"nonfinite_entries": 0, "dtype_max": largest},
    )  # fmt: skip


def _backward(evidence: Evidence, bad: Sequence[Record], *, masked: bool) -> Finding:
    inf, nan = _first(bad, "inf", "gradient"), _first(bad, "nan", "gradient")
    first = bad[0]
    largest = torch.finfo(first.facts.torch_dtype).max
    but = ", a mask's −Inf left out" if masked else ""
    word = "overflow" if inf is not None and (nan is None or inf is first) else "become NaN"
    return evidence.finding(
        "nonfinite", "error", bad[::-1],
        title=f"Gradients {word} at layer {evidence.label(first)}, going back",
        explanation=f"The activations are finite{but}, but going back {first.facts.name} is the "
        f"first layer whose gradient is not. {_told('gradient', inf, nan)}".strip(),
        direction="backward",
        evidence={**_firsts(evidence, inf, nan), **_causes("gradient", inf, nan)},
        threshold={"nonfinite_entries": 0, "dtype_max": largest},
    )  # fmt: skip


def _ailing(
    tensor: str, inf: Record | None, nan: Record | None
) -> list[tuple[Record, Ailment, Cause]]:
    """The records with the first Inf and the first NaN, as far as the cause was seen."""
    firsts: tuple[tuple[Record | None, Ailment], ...] = ((inf, "Inf"), (nan, "NaN"))
    found = [(r, a, r.cause(tensor, a)) for r, a in firsts if r is not None]
    order = 1 if tensor == "activation" else -1
    known = [(r, a, c) for r, a, c in found if c is not None]
    return sorted(known, key=lambda each: order * each[0].facts.index)


def _told(tensor: str, inf: Record | None, nan: Record | None) -> str:
    """What made the first Inf and the first NaN, in the order in which it happened."""
    said = [f"{r.facts.name}: {c.said}. " for r, _, c in _ailing(tensor, inf, nan)]
    return "".join(said)


def _causes(tensor: str, inf: Record | None, nan: Record | None) -> dict[str, object]:
    found = {a: c for _, a, c in _ailing(tensor, inf, nan)}
    return {
        f"{a.lower()}_{figure}": value(found[a]) if a in found else None
        for a in ("Inf", "NaN")
        for figure, value in (("operation", _operation), ("operands", _operands))
    }


def _operation(cause: Cause) -> str:
    return cause.operation


def _operands(cause: Cause) -> str:
    return ", ".join(g.text for g in cause.operands)


def _lost_gradients(evidence: Evidence) -> str:
    """How many parameters get a finite gradient, once the backward pass is over."""
    if any(r.gradient is None for r in evidence.records):
        return ""
    weights = [
        p.gradient for r in evidence.records for p in r.parameters.values() if p.gradient
    ]  # fmt: skip
    lost = sum(_bad(g) for g in weights)
    if not lost:
        return "Every parameter's gradient is finite all the same."
    many = "No" if lost == len(weights) else f"{len(weights) - lost} of {len(weights)}"
    verb = "is" if many == "No" else "are"
    return f"{many} parameter gradient{'' if many == 'No' else 's'} {verb} finite."


def _firsts(evidence: Evidence, inf: Record | None, nan: Record | None) -> dict[str, object]:
    return {
        "first_inf": inf and inf.facts.name,
        "first_inf_block": inf and evidence.block(inf),
        "first_nan": nan and nan.facts.name,
        "first_nan_block": nan and evidence.block(nan),
    }
