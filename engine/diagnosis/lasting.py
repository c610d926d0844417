"""What looks like a fault before the first step, and whether it lasts: by records alone."""

from __future__ import annotations

from collections.abc import Sequence

from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.execution.records import Record

__all__ = ["STEPS", "alike", "empty_gradients", "lasting", "unmoved", "unreached"]

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


def unmoved(evidence: Evidence) -> list[Record]:
    """What has parameters without a gradient, in hidden blocks whose output a gradient reaches."""
    return [
        r for block in evidence.hidden_blocks
        if (g := block[-1].gradient) and g.zeros < g.count == g.finite
        for r in block if empty_gradients(r, block)
    ]  # fmt: skip


def empty_gradients(record: Record, block: Sequence[Record]) -> list[str]:
    """The parameters of ``record`` whose gradient is nothing but zeros; not the bias of a linear
    map whose mean a norm takes away, which has nothing to learn."""
    centred = any(r.facts.centres for r in block)
    return [
        name for name, p in record.parameters.items()
        if p.gradient and p.gradient.zeros == p.gradient.count > 0
        and not (centred and record.facts.role == "linear_map" and len(p.shape) == 1)
    ]  # fmt: skip


def lasting(records: Sequence[Record], over: Sequence[bool]) -> list[Record]:
    """Those of ``records`` behind the last for which it is ``over``: what the steps changed of one
    layer, further ones change of those before it, going back."""
    last = max((i for i, changed in enumerate(over) if changed), default=-1)
    return list(records[last + 1 :])
