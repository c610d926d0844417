"""What the number format loses, and outputs far from any target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from engine.diagnosis.evidence import Evidence
from engine.diagnosis.finding import Finding, Severity
from engine.diagnosis.rule import rule
from engine.statistics import Statistics

__all__ = ["output_scale", "precision_loss"]

LAST_BITS = 2  # bits left of a number under four times the smallest
LOST_WARN = 0.05  # one gradient entry in twenty with no more than those
LOST_ERROR = 0.5  # half of them
RATIO_WARN = 100.0  # times the loss of the best constant output, before the first step
RATIO_ERROR = 1000.0  # healthy networks of the corpus start at 520 times or less


def _lost(s: Statistics, smallest: int) -> float:
    """Share of entries under 2^(smallest + 2), and zeros where there are such entries."""
    h = s.histogram
    below = sum(
        int(p) + int(n)
        for exponent, p, n in zip(h.exponents, h.positive, h.negative, strict=True)
        if exponent < smallest + LAST_BITS
    )
    return (below + s.zeros) / s.count if below else 0.0


@rule(
    formula=f"share of a block's gradient entries below {2**LAST_BITS} times the smallest number "
    f"> {LOST_ERROR:.0%} (warning: {LOST_WARN:.0%})",
    source="Micikevicius et al. 2018, Mixed precision training",
    help="There numbers have two bits left, or are zero. With half the entries there the gradient "
    "points elsewhere than it should; counted from the histogram of exponents.",
)
def precision_loss(evidence: Evidence) -> Sequence[Finding]:
    """Gradients too small for the number format."""
    e = evidence.experiment
    smallest = math.frexp(torch.finfo(e.torch_dtype).smallest_normal)[1] - 1
    smallest -= round(-math.log2(torch.finfo(e.torch_dtype).eps))
    shares = [(r, _lost(r.gradient, smallest)) for r in evidence.ends if r.gradient is not None]
    lost = [(r, share) for r, share in shares if share > LOST_WARN]
    if not lost:
        return []
    worst, share = max(lost, key=lambda pair: pair[1])
    severity: Severity = "error" if share > LOST_ERROR else "warning"
    return [
        Finding(
            rule="precision_loss", severity=severity,
            title=f"{share:.0%} of layer {worst.info.block}'s gradient is lost in {e.dtype}",
            explanation=f"{e.dtype}'s smallest number is 2^{smallest}; near it two bits are left, "
            "below it nothing. A larger loss scale or a wider format keeps it.",
            direction="backward", layers=(lost[0][0].info.index, lost[-1][0].info.index),
            blocks=(lost[0][0].info.block, lost[-1][0].info.block),
            evidence={"worst_share": share, "layers": len(lost), "smallest_exponent": smallest},
            threshold={"warning_share": LOST_WARN, "error_share": LOST_ERROR}, chart="magnitudes",
        )
    ]  # fmt: skip


@rule(
    formula=f"loss before the first step > {RATIO_ERROR:g} times that of the best constant output "
    f"(warning: {RATIO_WARN:g})",
    source="Karpathy 2019, A recipe for training neural networks (verify the loss at init)",
    help="Outputs far larger than any target: the first steps only undo the initialisation, or "
    "diverge. No network of the corpus that starts beyond this trained with both optimisers.",
    explains=("exploding_gradient",),
)
def output_scale(evidence: Evidence) -> Sequence[Finding]:
    """The untrained network's answers are far larger than the targets."""
    loss, baseline = evidence.loss, evidence.baseline
    if loss is None or not baseline or not math.isfinite(loss):
        return []
    ratio = loss / baseline
    if ratio <= RATIO_WARN:
        return []
    out = evidence.records[-1]
    return [
        Finding(
            rule="output_scale", severity="error" if ratio > RATIO_ERROR else "warning",
            title=f"The loss starts {ratio:.2g} times above that of a constant answer",
            explanation=f"The outputs have rms {out.activation.rms or 0:.2g}; a constant output "
            f"would have a loss of {baseline:.3g}, this network starts at {loss:.3g}.",
            direction="forward", layers=(out.info.index, out.info.index),
            blocks=(out.info.block, out.info.block),
            evidence={"loss": loss, "constant_loss": baseline, "ratio": ratio,
                      "output_rms": out.activation.rms},
            threshold={"warning_ratio": RATIO_WARN, "error_ratio": RATIO_ERROR},
            chart="activations",
        )
    ]  # fmt: skip
