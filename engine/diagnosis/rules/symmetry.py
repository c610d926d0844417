"""Units that are copies of one another."""

from __future__ import annotations

from collections.abc import Sequence

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.experiment.specification import Experiment

__all__ = ["symmetry"]


def _narrow(e: Experiment) -> str | None:
    return "a layer of one unit has no copies" if e.width == 1 else None


@rule(
    formula="a hidden layer no two units of which differ, in weights and in weight gradients",
    source="Goodfellow, Bengio & Courville 2016, section 8.4",
    help="Copies receive the same gradient and stay copies: no threshold but rounding.",
    explains=(
        "vanishing_activation", "vanishing_gradient", "exploding_activation", "exploding_gradient",
        "rank_collapse", "dead_units", "saturation", "mean_shift", "precision_loss",
    ),
    undecided=_narrow,
)  # fmt: skip
def symmetry(evidence: Evidence) -> Sequence[Finding]:
    """Layers whose units are all alike."""
    depth = evidence.experiment.depth
    alike = [
        r.info
        for r in evidence.linears
        if r.info.block <= depth and r.units_alike and r.gradients_alike is not False
    ]
    if not alike:
        return []
    return [
        Finding(
            rule="symmetry", severity="error",
            title=f"All units alike in {len(alike)} of {depth} layers",
            explanation="Every unit has the same weights and gets the same gradient: however wide, "
            "each of these layers computes one number and will go on doing so.",
            direction="both", layers=(alike[0].index, alike[-1].index),
            blocks=(alike[0].block, alike[-1].block),
            evidence={"distinct_units": 1, "layers_alike": len(alike)},
            threshold={"distinct_units": 2}, chart="magnitudes",
        )
    ]  # fmt: skip
