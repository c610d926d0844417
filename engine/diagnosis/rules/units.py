"""Units that do nothing, on any sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import log_ndtr

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = ["dead_units"]

DEAD_WARN = 0.5  # half of a layer's units silent for every sample
DEAD_ERROR = 0.9  # nine tenths: little of the layer is left
SIGMAS = 3.0  # standard deviations of a count of so many units
U = np.linspace(-8, 8, 3201)  # a normal variable, over which is integrated
DENSITY = np.exp(-(U**2) / 2) / math.sqrt(2 * math.pi)
LEAST_BATCH = 30  # with fewer samples a live unit may be silent by chance (2⁻³⁰ for ReLU at this)


def _few_samples(evidence: Evidence) -> str | None:
    if evidence.batch >= LEAST_BATCH:
        return None
    return f"{evidence.batch} samples cannot show that a unit is never active; {LEAST_BATCH} can"


def _by_nature(record: Record, batch: int) -> float:
    """The share of a rectifier's units that weights drawn around 0 leave silent for a whole batch,
    where samples are as alike as in ``record``.

    A unit's inputs are √c·u + √(1 − c)·v with u its own and v the sample's: silent for all where
    every one is negative.
    """
    alike = record.units.sample_correlation if record.units else None
    if alike is None:
        return 0.0
    low, high = -1.0, 1.0  # the cosine before the rectifier that gives this one behind it
    for _ in range(50):
        c = (low + high) / 2
        low, high = (c, high) if _rectified(c) < alike else (low, c)
    c = max(0.0, (low + high) / 2)
    ratio = math.sqrt(c / (1 - c)) if c < 1 else math.inf
    with np.errstate(over="ignore"):
        silent = np.exp(batch * log_ndtr(-U * ratio)) if math.isfinite(ratio) else U < 0
    return float((DENSITY @ silent) * (U[1] - U[0]))


def _rectified(c: float) -> float:
    """Mean cosine behind a rectifier of inputs with cosine ``c`` (Cho & Saul 2009)."""
    angle = math.acos(c)
    return (math.sin(angle) + (math.pi - angle) * c) / math.pi


@rule(
    formula=f"a layer with more than {DEAD_WARN:.0%} of its units zero for every sample "
    f"(error: {DEAD_ERROR:.0%}), batch ≥ {LEAST_BATCH}; a note where no more than {SIGMAS:g} "
    "standard deviations beyond what samples so alike make silent",
    source="Lu et al. 2019, Dying ReLU and initialization; Cho & Saul 2009",
    help="Units are counted, not zeros: ReLU's 50 % of zeros is healthy, a unit that is zero on "
    "every sample gets no gradient. In a deep network samples grow alike, and a unit that is "
    "silent for one, as half of them are, is silent for all: that is no fault of the units.",
    explains=("vanishing_activation", "vanishing_gradient", "inert_parameters"),
    undecided=_few_samples,
)
def dead_units(evidence: Evidence) -> Finding | None:
    """Layers in which most units are silent for the whole batch, though signal came in."""
    dead = [
        (r, share)
        for r, block in zip(evidence.unit_outputs, evidence.hidden_blocks, strict=True)
        if r.units and r.units.width and _fed(evidence, r, block)
        and (share := r.units.dead / r.units.width) > DEAD_WARN
    ]  # fmt: skip
    if not dead:
        return None
    beyond = [(r, share) for r, share in dead if share > _most_by_nature(r, evidence.batch)]
    worst, share = max(beyond or dead, key=lambda pair: pair[1])
    alike = worst.units.sample_correlation if worst.units else None
    at, figures = evidence.label(worst), {"worst_share": share, "layers_concerned": len(dead)}
    threshold = {"warning_share": DEAD_WARN, "error_share": DEAD_ERROR, "least_batch": LEAST_BATCH}
    if not beyond:
        return evidence.finding(
            "dead_units", "info", [r for r, _ in dead],
            title=f"Samples have grown alike: {share:.0%} of layer {at}'s units are silent for all",
            explanation=f"The mean cosine between samples behind layer {at} is {alike or 0:.3g}: a "
            "unit that is silent for one of them, as half are, is silent for nearly all.",
            direction="forward", evidence={**figures, "sample_correlation": alike},
            threshold=threshold,
        )  # fmt: skip
    cause = worst.cause("activation", "0")
    return evidence.finding(
        "dead_units", "error" if share >= DEAD_ERROR else "warning", [r for r, _ in beyond],
        title=f"{share:.0%} of the units of layer {at} are dead",
        explanation=f"They are zero for all {evidence.batch} samples: no gradient passes them."
        + (f" {worst.facts.name}: {cause.said}." if cause else ""),
        direction="forward", evidence=figures, threshold=threshold,
    )  # fmt: skip


def _fed(evidence: Evidence, record: Record, block: Sequence[Record]) -> bool:
    """Whether anything but zeros reached the activation behind the block's linear map, or what else
    ends the block; or ``record`` itself, an activation before that."""
    if record is not block[-1]:
        place = record.facts.index
        entered = evidence.records[place - 1].activation if place else None
        return entered is None or entered.zeros < entered.count
    if len(block) < 2:
        return False
    roles = [r.facts.role for r in block]
    reached = block[max(1, roles.index("activation")) - 1 if "activation" in roles else -2]
    return reached.activation.zeros < reached.activation.count


def _most_by_nature(record: Record, batch: int) -> float:
    expected = _by_nature(record, batch)
    width = record.units.width if record.units else 1
    return expected + SIGMAS * math.sqrt(expected * (1 - expected) / width)
