"""Units that do nothing, on any sample."""

from __future__ import annotations

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule

__all__ = ["dead_units"]

DEAD_WARN = 0.5  # half of a layer's units silent for every sample
DEAD_ERROR = 0.9  # nine tenths: little of the layer is left
LEAST_BATCH = 30  # with fewer samples a live unit may be silent by chance (2⁻³⁰ for ReLU at this)


def _few_samples(evidence: Evidence) -> str | None:
    if evidence.batch >= LEAST_BATCH:
        return None
    return f"{evidence.batch} samples cannot show that a unit is never active; {LEAST_BATCH} can"


@rule(
    formula=f"a layer with more than {DEAD_WARN:.0%} of its units zero for every sample "
    f"(error: {DEAD_ERROR:.0%}), batch ≥ {LEAST_BATCH}",
    source="Lu et al. 2019, Dying ReLU and initialization",
    help="Units are counted, not zeros: ReLU's 50 % of zeros is healthy, a unit that is zero on "
    "every sample gets no gradient.",
    undecided=_few_samples,
)
def dead_units(evidence: Evidence) -> Finding | None:
    """Layers in which most units are silent for the whole batch."""
    shares = [
        (r, r.units.dead / r.units.width)
        for r in evidence.block_outputs
        if r.units and r.units.width
    ]
    dead = [(r, share) for r, share in shares if share > DEAD_WARN]
    if not dead:
        return None
    worst, share = max(dead, key=lambda pair: pair[1])
    return evidence.finding(
        "dead_units", "error" if share >= DEAD_ERROR else "warning", [r for r, _ in dead],
        title=f"{share:.0%} of the units of layer {evidence.block(worst)} are dead",
        explanation=f"They are zero for all {evidence.batch} samples: no gradient passes them.",
        direction="forward",
        evidence={"worst_share": share, "layers_concerned": len(dead)},
        threshold={"warning_share": DEAD_WARN, "error_share": DEAD_ERROR,
                   "least_batch": LEAST_BATCH},
    )  # fmt: skip
