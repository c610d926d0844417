"""Units that are copies of one another."""

from __future__ import annotations

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.lasting import STEPS, alike, lasting
from layerscope.engine.diagnosis.rule import rule

__all__ = ["symmetry"]


def _narrow(evidence: Evidence) -> str | None:
    one = [r.facts.width == 1 for r in evidence.hidden_linear_maps]
    return "a layer of one unit has no copies" if one and all(one) else None


@rule(
    formula="a hidden layer no two units of which differ, in weights and in weight gradients, now "
    f"and after {STEPS} steps of training",
    source="Goodfellow, Bengio & Courville 2016, section 8.4",
    help="Copies receive the same gradient and stay copies, unless a residual sum, a random bias "
    "or the first step of a later layer parts them: so some steps are taken. No threshold but "
    "rounding.",
    explains=(
        "vanishing_activation", "vanishing_gradient", "exploding_activation", "exploding_gradient",
        "rank_collapse", "dead_units", "saturation", "mean_shift", "precision_loss",
        "inert_parameters",
    ),
    undecided=_narrow,
)  # fmt: skip
def symmetry(evidence: Evidence) -> Finding | None:
    """Layers whose units are all alike."""
    copies = alike(evidence)
    copies = lasting(copies, [r.stays_alike is False for r in copies])
    if not copies:
        return None
    tried = all(r.stays_alike for r in copies)
    return evidence.finding(
        "symmetry", "error", copies,
        title=f"All units alike in {len(copies)} of {max(evidence.depth, len(copies))} layers",
        explanation="Every unit has the same weights and gets the same gradient: however wide, "
        "each of these layers computes one number"
        + (f", and still does after {STEPS} steps of training." if tried else "."),
        direction="both",
        evidence={
            "distinct_units": 1,
            "layers_alike": len(copies),
            "steps_taken": STEPS if tried else 0,
        },
        threshold={"distinct_units": 2},
    )  # fmt: skip
