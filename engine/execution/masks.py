"""Minus infinities that a mask puts into scores for the softmax behind it to make zeros of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from layerscope.engine.basis.role import Role

__all__ = ["Output", "can_mask", "healthy_masks"]


class Output(NamedTuple):
    """What was counted in a module's output, and what module that is."""

    entries: int
    finite: int
    worse: int
    """NaN and plus infinities, which no mask gives."""
    can_mask: bool


def can_mask(role: Role | None, *, parameters: bool) -> bool:
    """Whether a module of that role, with ``parameters`` or none, may be one that masks."""
    return role is None and not parameters


def healthy_masks(outputs: Sequence[Output], *, fares_well: bool = False) -> list[int]:
    """The places in ``outputs``, all of a pass in forward order, whose minus infinities are a
    mask's and have gone no further: what comes next is finite, or such a mask itself. Behind the
    last it is the loss, which takes the softmax of scores itself: ``fares_well`` says that it and
    its gradients are finite.

    >>> mask, nan = Output(4, 3, 0, True), Output(4, 0, 4, False)
    >>> healthy_masks([mask, mask, Output(4, 4, 0, False), mask, nan])
    [0, 1]
    """
    found: list[int] = []
    for place in reversed(range(len(outputs))):
        entries, finite, worse, may = outputs[place]
        if place + 1 < len(outputs):
            after = outputs[place + 1]
            passed_on = after.finite < after.entries and place + 1 not in found[-1:]
        else:
            passed_on = not fares_well
        if finite < entries and may and not worse and not passed_on:
            found.append(place)
    return found[::-1]
