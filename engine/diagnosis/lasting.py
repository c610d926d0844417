"""What looks like a fault before the first step, and whether it lasts: by records alone."""

from __future__ import annotations

from collections.abc import Sequence

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.execution.records import Record

__all__ = ["STEPS", "alike", "lasting", "unreached"]

STEPS = 4
"""That are taken to see: two reach the last layers where anything does, and each further one those
before them."""


def alike(evidence: Evidence) -> list[Record]:
    """The hidden linear maps, and what else has units of its own by its parameters, all of whose
    units, two or more, are copies, as far as is known."""
    others = [r for r in evidence.records if r.facts.role is None]
    return [
        r for r in (*evidence.hidden_linear_maps, *others)
        if r.units_alike and r.gradients_alike is not False and r.facts.width != 1
    ]  # fmt: skip


def unreached(evidence: Evidence) -> list[Record]:
    """The linear maps of the hidden blocks whose output has a gradient of nothing but zeros."""
    known = evidence.starts is not None  # that a block has one, wherever it stands
    return [
        r for block in evidence.hidden_blocks
        if (g := block[-1].gradient) and g.zeros == g.count > 0
        for r in (block if known else block[:1]) if r.facts.role == "linear_map"
    ]  # fmt: skip


def lasting(records: Sequence[Record], over: Sequence[bool]) -> list[Record]:
    """Those of ``records`` behind the last for which it is ``over``: what the steps changed of one
    layer, further ones change of those before it, going back."""
    last = max((i for i, changed in enumerate(over) if changed), default=-1)
    return list(records[last + 1 :])
