"""What the number format loses, and outputs far from any target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding, Severity
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.statistics import Statistics

__all__ = ["output_scale", "precision_loss"]

LAST_BITS = 2  # bits left of a number under four times the smallest
LOST = 0.5  # half of a gradient's entries with no more than those
AGREE_WARN = 0.9  # cosine: 26 degrees away from float32's gradient
AGREE_ERROR = 0.7  # cosine: 45 degrees; a step gains less than it strays
RATIO_WARN = 100.0  # times the loss of the best constant output, before the first step
RATIO_ERROR = 3000.0  # healthy networks of the corpus start at 1620 times or less


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
    formula=f"cosine of a weight gradient with float32's < {AGREE_ERROR:g} (warning: "
    f"{AGREE_WARN:g}); in float32 and float64: more than {LOST:.0%} of a block's gradient entries "
    f"below {2**LAST_BITS} times the smallest number",
    source="Micikevicius et al. 2018, Mixed precision training",
    help="Narrow formats are run in float32 beside, from the same weights: what counts is where "
    "the gradient points. The wide formats are judged by their exponents: near the smallest number "
    "two bits are left, below it nothing.",
)
def precision_loss(evidence: Evidence) -> Sequence[Finding]:
    """Gradients that the number format turns away or loses."""
    e = evidence.experiment
    smallest = math.frexp(torch.finfo(e.torch_dtype).smallest_normal)[1] - 1
    smallest -= round(-math.log2(torch.finfo(e.torch_dtype).eps))
    shares = {r.info.index: _lost(r.gradient, smallest) for r in evidence.ends if r.gradient}
    worst_share = max(shares.values(), default=0.0)
    if evidence.agreement is not None:
        turned = {i: c for i, c in evidence.agreement.items() if c < AGREE_WARN}
        if not turned:
            return []
        index = min(turned, key=lambda i: turned[i])
        severity: Severity = "error" if turned[index] < AGREE_ERROR else "warning"
        title = f"{e.dtype} turns the gradient of layer {evidence.records[index].info.block} away"
        text = (
            f"The cosine between this layer's weight gradient in {e.dtype} and in float32, from "
            f"the same weights, is {turned[index]:.2g}. {worst_share:.0%} of the gradient's "
            f"entries in the worst layer are near or below the smallest number, 2^{smallest}."
        )
        concerned = sorted(turned)
    else:
        concerned = [i for i, share in shares.items() if share > LOST]
        if not concerned:
            return []
        severity = "error"
        index = max(concerned, key=lambda i: shares[i])
        block = evidence.records[index].info.block
        title = f"{shares[index]:.0%} of layer {block}'s gradient is lost in {e.dtype}"
        text = (
            f"{e.dtype}'s smallest number is 2^{smallest}; near it two bits are left, below it "
            "nothing. A wider format or a larger loss keeps them."
        )
    first, last = evidence.records[concerned[0]].info, evidence.records[concerned[-1]].info
    return [
        Finding(
            rule="precision_loss", severity=severity, title=title, explanation=text,
            direction="backward", layers=(first.index, last.index),
            blocks=(first.block, last.block),
            evidence={
                "worst_share_lost": worst_share,
                "worst_cosine": min(evidence.agreement.values()) if evidence.agreement else None,
                "smallest_exponent": smallest,
            },
            threshold={"cosine_error": AGREE_ERROR, "cosine_warning": AGREE_WARN,
                       "share_lost": LOST},
            chart="magnitudes",
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
    out = evidence.records[-1]
    if loss is None or not baseline or out.activation.finite < out.activation.count:
        return []  # what is not finite before the loss is another rule's
    ratio = loss / baseline if math.isfinite(loss) else math.inf
    if ratio <= RATIO_WARN:
        return []
    start = f"{loss:.3g}" if math.isfinite(loss) else "more than the number format holds"
    return [
        Finding(
            rule="output_scale", severity="error" if ratio > RATIO_ERROR else "warning",
            title=f"The loss starts {ratio:.2g} times above that of a constant answer"
            if math.isfinite(ratio)
            else f"The loss overflows {evidence.experiment.dtype}, the outputs do not",
            explanation=f"The outputs have rms {out.activation.rms or 0:.2g}; a constant output "
            f"would have a loss of {baseline:.3g}, this network starts at {start}.",
            direction="forward", layers=(out.info.index, out.info.index),
            blocks=(out.info.block, out.info.block),
            evidence={
                "loss": loss if math.isfinite(loss) else None,
                "constant_loss": baseline,
                "ratio": ratio if math.isfinite(ratio) else None,
                "output_rms": out.activation.rms,
            },
            threshold={"warning_ratio": RATIO_WARN, "error_ratio": RATIO_ERROR},
            chart="activations",
        )
    ]  # fmt: skip
