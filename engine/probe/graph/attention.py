"""What autograd's graph tells of attention: whether its scores were scaled down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from layerscope.engine.probe.graph.operations import (
    SHAPES,
    NameOf,
    chain,
    data_of,
    is_map,
    kind,
    operands,
    shape,
    weight_of,
)
from layerscope.engine.probe.step import Oddity

__all__ = ["unscaled"]

MASKS = SHAPES | {"MaskedFill", "Where", "Add", "Expand"}
"""Between the scores and their softmax, where a constant alone takes part."""
LEAST_WIDTH = 8
"""Numbers of a query: of fewer their root is no more than two."""


def unscaled(nodes: Sequence[Any], name_of: NameOf) -> Iterator[Oddity]:
    """Of a softmax of products of queries and keys, both given by layers as they are: the two,
    ``behind`` each the weight of its layer, ``after``: how many numbers a query has."""
    for node in nodes:
        if kind(node) != "Softmax":
            continue
        scores = _scores(operands(node)[0])
        sides = [] if scores is None else [_plain(each) for each in data_of(scores)]
        if len(sides) != 2 or not all(map(is_map, sides)):
            continue
        width = shape(data_of(scores)[0])[-1]
        if width >= LEAST_WIDTH:
            for what, layer in zip(("unscaled queries", "unscaled keys"), sides, strict=True):
                yield Oddity(what, shape(scores), (width,), name_of(weight_of(layer)))
            return


def _scores(node: Any) -> Any:
    return next((each for each in chain(node, MASKS) if kind(each) == "Bmm"), None)


def _plain(node: Any) -> Any:
    """What made it, but for its shape and for a bias, which PyTorch adds by itself to what does not
    lie in order."""
    for made in chain(node, SHAPES | {"Expand", "Add"}):
        node = made
        if kind(made) == "Add" and len(operands(made)) != 2:
            break  # a constant's, which is more than a bias
    return node
