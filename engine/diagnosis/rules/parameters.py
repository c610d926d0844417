"""Parameters that do nothing, at any step."""

from __future__ import annotations

import math

from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.lasting import STEPS, lasting, unmoved
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = ["inert_parameters"]

NAMED = 4  # kinds of parameters that are called by their names


def _not_followed(evidence: Evidence) -> str | None:
    if all(r.without_gradient is not None for r in unmoved(evidence)):
        return None
    return f"whether parameters without a gradient get one takes {STEPS} steps of training"


@rule(
    formula="a weight, gain or bias whose gradient is exactly zero at every entry, at first and in "
    f"{STEPS} steps of training, in a hidden block whose output a gradient reaches",
    source="the branches of Goyal et al. 2017 (zero-γ) and Zhang et al. 2019 (Fixup), which end in "
    "what is zero; behind it a φ that is flat at 0 closes them",
    help="No gradient at first is no fault: a residual branch of zeros opens with the first step, "
    "so some are taken. A branch that ends in ReLU's flat side gets none then either. It "
    "stays as it was drawn while the rest of the network may learn: a warning, no error.",
    undecided=_not_followed,
)
def inert_parameters(evidence: Evidence) -> Finding | None:
    """Parameters of hidden blocks that no step moves."""
    closed = unmoved(evidence)
    if not closed:
        return None
    closed = lasting(closed, [not r.without_gradient for r in closed])
    if not closed:
        return None
    parts = {(r.facts.kind, n): None for r in closed for n in r.without_gradient or ()}
    entries = sum(
        math.prod(r.parameters[n].shape) for r in closed for n in r.without_gradient or ()
    )
    kinds = listed([f"{kind}.{name}" for kind, name in parts], NAMED)
    blocks = len({evidence.block(r) for r in closed})
    return evidence.finding(
        "inert_parameters", "warning", closed,
        title=f"Parameters of {blocks} of {evidence.depth} layers get no gradient",
        explanation=f"The gradient by {kinds} is exactly zero at each of {entries:,} entries, and "
        f"was so in {STEPS} steps of training, though one reaches these layers' outputs."
        + _why(evidence, closed),
        direction="backward",
        evidence={
            "layers_concerned": blocks, "entries": entries, "nonzero_entries": 0,
            "steps_taken": STEPS,
        },
        threshold={"nonzero_entries": 1},
    )  # fmt: skip


def _why(evidence: Evidence, closed: list[Record]) -> str:
    """What made the gradient zero in the last of these blocks, where it was seen."""
    block = evidence.blocks[evidence.block(closed[-1]) - 1]
    found = [(r, c) for r in reversed(block) if (c := r.cause("gradient", "0")) is not None]
    return f" At {found[0][0].facts.name}: {found[0][1].said}." if found else ""
