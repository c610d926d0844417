"""Units that do nothing, and units that are copies of one another."""

from __future__ import annotations

from collections.abc import Sequence

from engine.diagnosis.evidence import Evidence
from engine.diagnosis.finding import Finding
from engine.diagnosis.rule import rule

__all__ = ["dead_units", "symmetry"]

DEAD_WARN = 0.5  # half of a layer's units silent for every sample
DEAD_ERROR = 0.9  # nine tenths: little of the layer is left
LEAST_BATCH = 30  # with fewer samples a live unit may be silent by chance (2⁻³⁰ for ReLU at this)


@rule(
    formula="units of a layer no two of which differ, in weights and in weight gradients",
    source="Goodfellow, Bengio & Courville 2016, section 8.4",
    help="Copies receive the same gradient and stay copies: no threshold but rounding.",
    explains=("vanishing_activation", "vanishing_gradient", "rank_collapse", "dead_units"),
)
def symmetry(evidence: Evidence) -> Sequence[Finding]:
    """Layers whose units are all alike."""
    alike = [
        r
        for r in evidence.linears
        if r.info.shape[1] > 1 and r.distinct_units == 1 and r.distinct_gradients in (None, 1)
        and r.info.block <= evidence.experiment.depth
    ]  # fmt: skip
    if not alike:
        return []
    first, last = alike[0].info, alike[-1].info
    return [
        Finding(
            rule="symmetry", severity="error",
            title=f"All units alike in {len(alike)} of {evidence.experiment.depth} layers",
            explanation="Every unit has the same weights and gets the same gradient: however wide, "
            "each of these layers computes one number and will go on doing so.",
            direction="both", layers=(first.index, last.index), blocks=(first.block, last.block),
            evidence={"distinct_units": 1, "layers_alike": len(alike)},
            threshold={"distinct_units": 2}, chart="magnitudes",
        )
    ]  # fmt: skip


@rule(
    formula=f"a layer with more than {DEAD_WARN:.0%} of its units zero for every sample "
    f"(error: {DEAD_ERROR:.0%}), batch ≥ {LEAST_BATCH}",
    source="Lu et al. 2019, Dying ReLU and initialization",
    help="Units are counted, not zeros: ReLU's 50 % of zeros is healthy, a unit that is zero on "
    "every sample gets no gradient.",
)
def dead_units(evidence: Evidence) -> Sequence[Finding]:
    """Layers in which most units are silent for the whole batch."""
    if evidence.experiment.batch < LEAST_BATCH:
        return []
    shares = [(r, r.units.dead / r.units.width) for r in evidence.ends if r.units and r.units.width]
    dead = [(r, share) for r, share in shares if share > DEAD_WARN]
    if not dead:
        return []
    worst, share = max(dead, key=lambda pair: pair[1])
    return [
        Finding(
            rule="dead_units", severity="error" if share >= DEAD_ERROR else "warning",
            title=f"{share:.0%} of the units of layer {worst.info.block} are dead",
            explanation=f"They are zero for all {evidence.experiment.batch} samples: no gradient "
            "passes them.",
            direction="forward", layers=(dead[0][0].info.index, dead[-1][0].info.index),
            blocks=(dead[0][0].info.block, dead[-1][0].info.block),
            evidence={"worst_share": share, "layers_concerned": len(dead)},
            threshold={"warning_share": DEAD_WARN, "error_share": DEAD_ERROR,
                       "least_batch": LEAST_BATCH},
            chart="units",
        )
    ]  # fmt: skip
