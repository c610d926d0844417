"""Signals that no longer tell samples apart: rank collapse, saturation, a dominating mean."""

from __future__ import annotations

import math

import torch

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding, Severity
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = ["mean_shift", "rank_collapse", "saturation"]

VARIATION_WARN = 3e-3  # of the signal differs between samples; the healthy it was chosen by: more
ORDERED_DECADES = 2.0  # that the gradient loses on its way back: the ordered phase, both ways
VARIATION_ERROR = 1e-4  # nothing that 300 steps of any optimiser could amplify
SATURATED = 0.5  # share of entries flat beyond what a standard normal signal would have
SHIFTED = 5.0  # |mean|/std: the mean is 96 % of the signal's power


def _one_of_them(evidence: Evidence) -> str | None:
    if evidence.batch == 1:
        return "with one sample there is nothing to tell apart"
    if evidence.block_outputs and all(r.facts.width == 1 for r in evidence.block_outputs):
        return "the outputs of one unit are numbers: they have no direction to have in common"
    return None


def _variation(record: Record) -> float | None:
    """Share of the signal's length that differs between samples: √(1 − mean cosine). None for a
    single unit, whose numbers of one sign all have the direction in common."""
    if record.units is None or record.units.sample_correlation is None or record.units.width == 1:
        return None
    return math.sqrt(max(0.0, 1 - record.units.sample_correlation))


def _only(variation: float) -> str:
    return f"only {variation:.1g}" if variation else "nothing"


@rule(
    formula=f"√(1 − mean cosine between samples) after the last block < {VARIATION_ERROR:g} or "
    f"half the rounding error; where the gradient vanishes too < {VARIATION_WARN:g}, elsewhere a "
    f"warning",
    source="Schoenholz et al. 2017; Dong, Cordonnier & Loukas 2021",
    help="All inputs map to (nearly) the same output: there is no signal left to learn from. The "
    "figures are those below which no network of the corpus they were chosen by trained.",
    explains=("dead_units", "precision_loss", "inert_parameters"),
    undecided=_one_of_them,
    of_scale=True,
)
def rank_collapse(evidence: Evidence) -> Finding | None:
    """Every sample is mapped to the same output."""
    known = [(r, v) for r in evidence.block_outputs if (v := _variation(r)) is not None]
    if not known:
        return None
    (first, at_first), (last, at_last) = known[0], known[-1]
    limit = max(VARIATION_ERROR, torch.finfo(last.facts.torch_dtype).eps / 2)
    back = evidence.backward_trend
    if back is not None and back.span >= ORDERED_DECADES and back.slope > 3 * back.error:
        limit = max(limit, VARIATION_WARN)  # nothing comes back to undo it
    severity: Severity = "error" if at_last < limit else "warning"
    if at_last >= max(VARIATION_WARN, limit):
        return None
    return evidence.finding(
        "rank_collapse", severity, [r for r, _ in known],
        title="All samples look the same to the last layers",
        explanation=f"Between samples {_only(at_last)} of the signal differs after layer "
        f"{evidence.label(last)}"
        + (f", against {at_first:.1g} after layer {evidence.label(first)}." if last is not first
           else "."),
        direction="forward",
        evidence={"variation_first": at_first, "variation_last": at_last},
        threshold={"error": limit, "warning": VARIATION_WARN},
    )  # fmt: skip


@rule(
    formula=f"share of entries with φ' under 1 % of its peak exceeds that of a standard normal "
    f"signal by more than {SATURATED:.0%}",
    source="Glorot & Bengio 2010",
    help="Judged from the derivative, for every activation alike; ReLU's half of zeros is its "
    "nature, not a fault. More than half flat beyond that, and most paths carry no gradient.",
    explains=("vanishing_gradient", "dead_units", "inert_parameters"),
    of_scale=True,
)
def saturation(evidence: Evidence) -> Finding | None:
    """Layers most of whose units sit where the activation is flat."""
    flat = [
        (r, r.saturation, r.facts.flat.by_nature)
        for r in evidence.records
        if r.facts.flat is not None and r.saturation is not None
        and r.saturation - r.facts.flat.by_nature > SATURATED
    ]  # fmt: skip
    if not flat:
        return None
    worst, share, nature = max(flat, key=lambda found: found[1])
    return evidence.finding(
        "saturation", "warning", [r for r, _, _ in flat],
        title=f"{worst.facts.kind} is saturated in {len(flat)} of {evidence.depth} layers",
        explanation=f"In layer {evidence.label(worst)} {share:.0%} of the entries sit where "
        f"the derivative is under a hundredth of its peak; {nature:.0%} would be this "
        "activation's nature.",
        direction="forward",
        evidence={"worst_share": share, "share_by_nature": nature, "layers": len(flat)},
        threshold={"share_beyond_nature": SATURATED},
    )  # fmt: skip


@rule(
    formula=f"size of the mean > {SHIFTED:g} · std after a block, with no norm to remove it",
    source="LeCun et al. 1998 (Efficient BackProp), section 4.3",
    help="A note, never a fault by itself: most of the signal's power is the same for all units.",
)
def mean_shift(evidence: Evidence) -> Finding | None:
    """The mean of the activation dominates what varies."""
    shifted = [
        (block[-1], abs(out.mean) / out.std)
        for block in evidence.hidden_blocks
        if (out := block[-1].activation).mean is not None and out.std
        and not any(r.facts.centres for r in block)
    ]  # fmt: skip
    shifted = [(r, ratio) for r, ratio in shifted if ratio > SHIFTED]
    if not shifted:
        return None
    worst, ratio = max(shifted, key=lambda pair: pair[1])
    return evidence.finding(
        "mean_shift", "info", [r for r, _ in shifted],
        title=f"The mean dominates: {ratio:.2g} times the std at layer {evidence.label(worst)}",
        explanation="Most of the signal is the same for all units and samples; a centred "
        "activation or a norm would remove it.",
        direction="forward", evidence={"worst_ratio": ratio}, threshold={"ratio": SHIFTED},
    )  # fmt: skip
