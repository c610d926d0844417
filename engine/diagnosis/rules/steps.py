"""Steps of training that outweigh what they change."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = ["small_weights"]

RATE = 1e-4  # of Adam, the smallest of the usual ones
WHOLE = 1.0  # over all layers: as much as the network computes
LEAST_DEPTH = 3  # blocks: the steps of fewer do not add up
ALIKE = 0.5  # mean cosine of samples: most of each is what a step moves for all


def _change(weight: Record) -> float | None:
    """What a step that moves every entry by the rate, each in the direction of the input, adds to
    the outputs of a linear map, as a share of them: rate · √n_in / rms."""
    own = weight.parameters[weight.weight_name or ""]
    units = own.shape[weight.facts.weight_unit_axis]
    return RATE * math.sqrt(math.prod(own.shape) / units) / own.value.rms if own.value.rms else None


def _under_norms(evidence: Evidence) -> list[tuple[Record, Record]]:
    """The linear maps of hidden blocks that a norm follows within the block, where no sum leads
    past them, and what ends the block."""
    found = []
    for block in evidence.hidden_blocks:
        maps = [i for i, r in enumerate(block) if r.weight_name is not None]
        norms = [i for i, r in enumerate(block) if r.facts.role == "norm"]
        past = any(r.facts.adds is not None for r in block)
        if maps and norms and norms[-1] > maps[0] and not past:
            found.append((block[maps[0]], block[-1]))
    return found


def _not_asked(evidence: Evidence) -> str | None:
    if evidence.starts is None:
        return "what steps change is seen in the steps themselves"
    known = len(_under_norms(evidence))
    if not 0 < known < LEAST_DEPTH:
        return None
    return f"steps add up over {LEAST_DEPTH} layers with a norm, here are {known}"


@rule(
    formula=f"rate · √n_in / rms of the weights that a norm follows, at Adam's rate {RATE:g}, adds "
    f"up to > {WHOLE:g} over {LEAST_DEPTH} or more layers that no sum leads past, where samples "
    f"behind the last have a mean cosine ≥ {ALIKE:g}",
    source="van Laarhoven 2017, L2 regularization versus batch and weight normalization; Yang, "
    "Simon & Bernstein 2023, A spectral condition for feature learning",
    help="A norm takes the weights' scale away, so that signal and gradient hold however small "
    "they are; the steps keep theirs, and outweigh the weights. What samples have in common is "
    "moved for all of them, until they are alike. A norm over the batch parts them anew.",
    undecided=_not_asked,
    of_start=True,
    of_scale=True,
)
def small_weights(evidence: Evidence) -> Finding | None:
    """Weights under norms so small that a step replaces them."""
    found = _under_norms(evidence)
    known = [(c, weight) for weight, _ in found if (c := _change(weight)) is not None]
    if len(known) < LEAST_DEPTH:
        return None
    units, whole = found[-1][1].units, sum(change for change, _ in known)
    alike = units.sample_correlation if units is not None else None
    if alike is None or alike < ALIKE or whole <= WHOLE:
        return None
    most, worst = max(known, key=lambda each: each[0])
    rms = worst.parameters[worst.weight_name or ""].value.rms
    return evidence.finding(
        "small_weights", "warning", [weight for _, weight in known],
        title=f"Steps outweigh the weights of {len(known)} layers under norms",
        explanation=f"The norm takes the scale of {worst.facts.name}'s weights away, of rms "
        f"{rms:.2g}, but not that of a step: one of Adam at rate {RATE:g} changes what this layer "
        f"computes by up to {most:.0%} of itself, all {len(known)} together by {whole:.2g} times.",
        direction="forward",
        evidence={
            "change_of_all": whole, "change_of_one": most, "smallest_rms": rms,
            "layers_concerned": len(known), "sample_correlation": alike,
        },
        threshold={"change_of_all": WHOLE, "sample_correlation": ALIKE, "rate": RATE},
    )  # fmt: skip
