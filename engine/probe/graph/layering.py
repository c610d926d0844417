"""What autograd's graph tells of how layers follow one another: with no activation between them, or
with a softmax as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layerscope.engine.probe.graph.operations import (
    SHAPES,
    NameOf,
    data_of,
    is_leaf,
    is_map,
    kind,
    operands,
    shape,
    through_shapes,
    weight_of,
)
from layerscope.engine.probe.step import Oddity

__all__ = ["hidden_softmax", "linear_network"]

CONVOLUTION = "Convolution"
SUMS = frozenset({
    "Add", "Sub", "Rsub", "Neg", "Mean", "Sum", "Cat", "Stack", "Expand", "ConstantPadNd",
    "NativeDropout", "NativeBatchNorm", "CudnnBatchNorm", "AvgPool2D", "AvgPool3D",
    "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "UpsampleNearest2D", "UpsampleBilinear2D",
})  # fmt: skip
"""What is linear in all that it is given, with a constant beside it."""
FACTORS = frozenset({"Mul", "Div", "Addmm", "Mm", "Bmm"})
"""What is so in one of them, where the others are constants or parameters."""
TABLES = frozenset({"Embedding", "EmbeddingBag"})
"""Where data come in as numbers of rows."""
MOST_BETWEEN = 256
"""Operations between two layers: beyond these nobody looks."""


def linear_network(nodes: Sequence[Any], name_of: NameOf) -> Oddity | None:
    """Two layers of a network none of whose layers has an activation before it, of which the first
    is as wide as what goes in or as what comes out: the one map that both make could be made by
    one. None of a bottleneck, whose rank is meant, and wherever any operation is not linear or any
    layer another network's.

    ``before`` of what is told: how much goes into the first, comes out of it, out of the second.
    """
    found = None
    for node in nodes:
        if kind(node) == CONVOLUTION and not is_map(node):
            return None
        if not is_map(node):
            continue
        sources = _sources(node)
        if sources is None or name_of(weight_of(node)) is None:
            return None
        for each in sources:
            (entered, width), (_, left) = _widths(each), _widths(node)
            if found is None and width >= min(entered, left):
                sizes = (entered, width, left)
                found = Oddity("linear", sizes, sizes, name_of(weight_of(each)))
    return found


def hidden_softmax(nodes: Sequence[Any], name_of: NameOf) -> Oddity | None:
    """A softmax of what one layer gives, which the next one takes; ``before``: its shape,
    ``after``: how many there are. Weights of a sum, as of attention, no parameter multiplies."""
    found = []
    for node in nodes:
        if not is_map(node) or kind(node) == "Bmm":
            continue
        for each in data_of(node):
            made = through_shapes(each)
            inner = operands(made)
            if kind(made) == "Softmax" and inner and is_map(through_shapes(inner[0])):
                found.append((shape(made), weight_of(through_shapes(inner[0]))))
    if not found:
        return None
    sizes, weight = found[0]
    return Oddity("hidden softmax", sizes, (len(found),), name_of(weight))


def _widths(layer: Any) -> tuple[int, int]:
    """How many numbers go into one of a layer's outputs, and how many outputs it has."""
    weight = weight_of(layer)
    out = int(weight.shape[0]) if kind(layer) == CONVOLUTION else shape(layer)[-1]
    return weight.numel() // out, out


def _sources(layer: Any) -> list[Any] | None:
    """The layers from which what a layer is given comes by sums and constant factors alone; None
    where it comes by anything else."""
    waiting, found = data_of(layer), []
    seen: dict[int, Any] = {}  # held, so that an id is of nobody else's
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        what, given = kind(node), data_of(node)
        if is_map(node):
            found.append(node)
        elif is_leaf(node) or what in TABLES:
            continue
        elif len(seen) > MOST_BETWEEN or not (
            what in SHAPES | SUMS or (what in FACTORS and len(given) < 2)
        ):
            return None
        else:
            waiting += given
    return found
