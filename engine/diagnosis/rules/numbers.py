"""What the number format loses, and outputs far from any target."""

from __future__ import annotations

import math

import torch

from layerscope.engine.basis.text import number_text
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding, Severity
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = ["output_scale", "precision_loss"]

NARROW = (torch.float16, torch.bfloat16)  # tiny entries are the rule there: the cosine tells
LAST_BITS = 2  # bits left of a number under four times the smallest
LOST = 0.5  # half of a gradient's entries with no more than those
AGREE_WARN = 0.9  # cosine: 26 degrees away from float32's gradient
AGREE_ERROR = 0.7  # cosine: 45 degrees; a step gains less than it strays
RATIO_WARN = 100.0  # times the loss of the best constant output, before the first step
RATIO_ERROR = 3000.0  # the healthy it was chosen by start at 1620 times or less


def _smallest(record: Record) -> int:
    """The exponent of the smallest number that the record's dtype holds."""
    info = torch.finfo(record.facts.torch_dtype)
    return math.frexp(info.smallest_normal)[1] - 1 - round(-math.log2(info.eps))


def _lost(record: Record) -> float:
    """Share of the gradient's entries under four times the smallest number; zeros beside such."""
    s = record.gradient
    if s is None:
        return 0.0
    smallest, h = _smallest(record), s.histogram
    if h.first >= smallest + LAST_BITS:
        return 0.0
    below = sum(
        int(p) + int(n)
        for exponent, p, n in zip(h.exponents, h.positive, h.negative, strict=True)
        if exponent < smallest + LAST_BITS
    )
    return (below + s.zeros) / s.count if below else 0.0


@rule(
    formula=f"cosine of a weight gradient with float32's < {AGREE_ERROR:g} (warning: "
    f"{AGREE_WARN:g}); in float32 and float64: more than {LOST:.0%} of a block's gradient entries "
    f"below {2**LAST_BITS} times the smallest number",
    source="Micikevicius et al. 2018, Mixed precision training",
    help="Narrow formats are run in float32 beside, from the same weights: what counts is where "
    "the gradient points. The wide formats are judged by their exponents: near the smallest number "
    "two bits are left, below it nothing.",
)
def precision_loss(evidence: Evidence) -> Finding | None:
    """Gradients that the number format turns away or loses."""
    shares = [(r, _lost(r)) for r in evidence.block_outputs]
    worst_share = max((share for _, share in shares), default=0.0)
    cosines = [(r, c) for r in evidence.records if (c := r.gradient_cosine) is not None]
    turned = [(r, c) for r, c in cosines if c < AGREE_WARN]
    lost = [(r, s) for r, s in shares if s > LOST and r.facts.torch_dtype not in NARROW]
    concerned = turned or lost
    if not concerned:
        return None
    if turned:
        worst, cosine = min(reversed(turned), key=lambda pair: pair[1])  # going back, the first
        severity: Severity = "error" if cosine < AGREE_ERROR else "warning"
        title = f"{worst.facts.dtype} turns the gradient of layer {evidence.label(worst)} away"
        text = (
            f"The cosine between this layer's weight gradient in {worst.facts.dtype} and in "
            f"float32, from the same weights, is {cosine:.2g}. {worst_share:.0%} of the gradient's "
            "entries in the worst layer are near or below the smallest number, "
            f"2^{_smallest(worst)}."
        )
    else:
        severity = "error"
        worst, share = max(lost, key=lambda pair: pair[1])
        dtype = worst.facts.dtype
        title = f"{share:.0%} of layer {evidence.label(worst)}'s gradient is lost in {dtype}"
        text = (
            f"{dtype}'s smallest number is 2^{_smallest(worst)}; near it two bits are left, below "
            "it nothing. A wider format or a larger loss keeps them."
        )
    return evidence.finding(
        "precision_loss", severity, [r for r, _ in concerned], title=title, explanation=text,
        direction="backward",
        evidence={
            "worst_share_lost": worst_share,
            "worst_cosine": min((c for _, c in cosines), default=None),
            "smallest_exponent": _smallest(worst),
        },
        threshold={"cosine_error": AGREE_ERROR, "cosine_warning": AGREE_WARN,
                   "share_lost": LOST},
    )  # fmt: skip


@rule(
    formula=f"loss before the first step > {RATIO_ERROR:g} times that of the best constant output "
    f"(warning: {RATIO_WARN:g}; {RATIO_WARN**0.5:g} where the loss grows as the output, not as its "
    f"square)",
    source="Karpathy 2019, A recipe for training neural networks (verify the loss at init)",
    help="Outputs far larger than any target: the first steps only undo the initialisation, or "
    "diverge. No network it was chosen by that starts beyond this trained with both optimisers.",
    of_start=True,
    of_scale=True,
)
def output_scale(evidence: Evidence) -> Finding | None:
    """The network's answers are far larger than the targets."""
    loss, baseline = evidence.loss, evidence.baseline
    out = evidence.records[-1]
    if loss is None or not baseline or out.activation.finite < out.activation.count:
        return None  # what is not finite before the loss is another rule's
    ratio = loss / baseline if math.isfinite(loss) else math.inf
    warn = RATIO_WARN ** (evidence.loss_degree / 2)
    if ratio <= warn:
        return None
    figure = f"{loss:.3g}" if math.isfinite(loss) else "more than the number format holds"
    starts, at = ("starts", "starts at") if evidence.untrained else ("is", "has come to")
    return evidence.finding(
        "output_scale", "error" if ratio > RATIO_ERROR else "warning", [out],
        title=f"The loss {starts} {number_text(ratio, 2)} times above that of a constant answer"
        if math.isfinite(ratio)
        else f"The loss overflows {out.facts.dtype}, the outputs do not",
        explanation=f"The outputs have rms {out.activation.rms or 0:.2g}; a constant output "
        f"would have a loss of {baseline:.3g}, this network {at} {figure}."
        + (f" {evidence.loss_cause.said}." if evidence.loss_cause else ""),
        direction="forward",
        evidence={
            "loss": loss if math.isfinite(loss) else None,
            "constant_loss": baseline,
            "ratio": ratio if math.isfinite(ratio) else None,
            "output_rms": out.activation.rms,
        },
        threshold={"warning_ratio": warn, "error_ratio": RATIO_ERROR},
    )  # fmt: skip
