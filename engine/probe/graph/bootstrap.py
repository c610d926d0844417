"""What autograd's graph tells of targets that a network gives itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from layerscope.engine.probe.graph.operations import (
    DISTANCES,
    SHAPES,
    NameOf,
    chain,
    data_of,
    is_map,
    kind,
    shape,
    through_shapes,
    weight_of,
)
from layerscope.engine.probe.step import Oddity

__all__ = ["bootstrapped"]

DIFFERENCES = frozenset({"Sub", "Rsub"})
SIZES = frozenset({"Pow", "Abs", *DISTANCES})
CHOICES = SHAPES | {"Max", "Amax", "Min", "Amin", "Minimum", "Maximum", "Gather"}
"""Of what a network answers for each action, that of one."""
LARGEST = frozenset({"Max", "Amax"})


def bootstrapped(nodes: Sequence[Any], name_of: NameOf) -> Oddity | None:
    """A distance between what a network answers and a constant more than a constant's share of what
    the same network answers to something else, where a gradient goes through both: its size, of
    how many answers that is the largest, where it is, and the weight of the network's last layer.
    """
    for one, other in _pairs(nodes):
        for answer, target in ((one, other), (other, one)):
            before, share = _chosen(answer), _share(target)
            later = None if share is None else _chosen(share)
            if before is None or later is None or before is later:
                continue
            if weight_of(before) is weight_of(later):
                of = shape(later)[-1:] if kind(through_shapes(share)) in LARGEST else ()
                return Oddity("bootstrapped", shape(target), of, name_of(weight_of(later)))
    return None


def _pairs(nodes: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """What is held against what, both with a gradient."""
    for node in nodes:
        if kind(node) not in SIZES:
            continue
        given = data_of(node)
        if len(given) == 1 and kind(apart := through_shapes(given[0])) in DIFFERENCES:
            given = data_of(apart)
        if len(given) == 2:
            yield given[0], given[1]


def _chosen(node: Any) -> Any:
    """The layer that gives what one of its answers was chosen of; None where there is none."""
    return next(filter(is_map, chain(node, CHOICES)), None)


def _share(node: Any) -> Any:
    """What a constant and a constant's share are of; None where they are not."""
    *passed, made = chain(node, SHAPES | {"Add", "Mul"})
    kinds = [kind(each) for each in passed]
    return made if "Add" in kinds and "Mul" in kinds[kinds.index("Add") :] else None
