"""Biases that drown what a layer makes of its input."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = ["large_bias"]

LARGE = 1.0  # rms: a signal of unit scale, as inputs have, is no larger
DROWNS = 0.5  # of the power of a layer's sums: the larger part
ALIKE = 0.5  # mean cosine of samples behind it; a batch norm takes away what all have in common


def _share(record: Record) -> tuple[float, float] | None:
    """The biases' share of the mean square of a linear map's outputs, and their rms."""
    biases = [p.value for p in record.parameters.values() if len(p.shape) == 1]
    whole = record.activation
    if len(biases) != 1 or not biases[0].rms or not whole.rms or whole.finite < whole.count:
        return None
    return min(1.0, math.exp(2 * (math.log(biases[0].rms) - math.log(whole.rms)))), biases[0].rms


@rule(
    formula=f"biases of rms > {LARGE:g}, whose mean square is > {DROWNS:.0%} of that of a hidden "
    f"linear map's outputs, and a mean cosine between samples ≥ {ALIKE:g} behind it",
    source="Schoenholz et al. 2017: σb² in the map of correlations",
    help="A bias is the same for every sample: where it makes most of a sum, samples grow alike "
    "and units sit where the biases put them. A note, and the cause of what follows. A "
    "bias that drowns a signal only because that has become small is no cause.",
    explains=("saturation", "dead_units", "rank_collapse", "mean_shift", "vanishing_activation",
              "inert_parameters"),
    harmless_alone=True,
    of_scale=True,
)  # fmt: skip
def large_bias(evidence: Evidence) -> Finding | None:
    """Hidden layers whose sums are mostly bias."""
    drowned = []
    for block in evidence.hidden_blocks:
        found = next(
            ((r, *s) for r in block if r.facts.role == "linear_map" and (s := _share(r))), None
        )
        units = block[-1].units
        behind = units.sample_correlation if units is not None else None
        if found and found[2] > LARGE and found[1] > DROWNS and (behind is None or behind >= ALIKE):
            drowned.append(found)
    if not drowned:
        return None
    worst, share, rms = max(drowned, key=lambda each: each[1])
    return evidence.finding(
        "large_bias", "info", [r for r, _, _ in drowned],
        title=f"The biases drown the signal in {len(drowned)} of {evidence.depth} layers",
        explanation=f"{worst.facts.name}: biases of rms {rms:.3g} make {share:.0%} of the mean "
        f"square of its outputs, whose rms is {worst.activation.rms:.3g}; what tells samples apart "
        "is in the rest.",
        direction="forward",
        evidence={"worst_share": share, "bias_rms": rms, "layers_concerned": len(drowned)},
        threshold={"rms": LARGE, "share": DROWNS, "sample_correlation": ALIKE},
    )  # fmt: skip
