"""Units that are copies of one another."""

from __future__ import annotations

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule

__all__ = ["symmetry"]


def _narrow(evidence: Evidence) -> str | None:
    one = [r.facts.width == 1 for r in evidence.hidden_linear_maps]
    return "a layer of one unit has no copies" if one and all(one) else None


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
def symmetry(evidence: Evidence) -> Finding | None:
    """Layers whose units are all alike."""
    alike = [
        r
        for r in evidence.hidden_linear_maps
        if r.units_alike and r.gradients_alike is not False and r.facts.width != 1
    ]
    if not alike:
        return None
    return evidence.finding(
        "symmetry", "error", alike,
        title=f"All units alike in {len(alike)} of {evidence.depth} layers",
        explanation="Every unit has the same weights and gets the same gradient: however wide, "
        "each of these layers computes one number and will go on doing so.",
        direction="both",
        evidence={"distinct_units": 1, "layers_alike": len(alike)},
        threshold={"distinct_units": 2},
    )  # fmt: skip
