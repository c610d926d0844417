"""What autograd's graph tells of a code that is drawn: mean, spread, and a penalty on both."""

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
    through_shapes,
    weight_of,
)
from layerscope.engine.probe.step import Oddity

__all__ = ["latent"]

BY_CONSTANTS = SHAPES | {"Mul", "Div", "Add", "Sub", "Rsub", "Neg"}
"""With a single operand: by a number, or by noise."""


def latent(nodes: Sequence[Any], name_of: NameOf) -> Iterator[Oddity]:
    """Of a code that is a mean and noise times the exponential of something else, both given by
    layers, where the mean's square takes part in the loss: the two, ``behind`` each the weight of
    its layer."""
    squared = {
        id(made): made for node in nodes if kind(node) == "Pow" for made in _parts(_maker(node))
    }
    for node in nodes:
        given = data_of(node)
        if kind(node) != "Add" or len(given) != 2:
            continue
        for mean, noise in (given, given[::-1]):
            where, spread = through_shapes(mean), _spread(noise)
            if spread is None or not is_map(where) or id(where) not in squared:
                continue
            for what, layer in (("latent mean", where), ("latent spread", spread)):
                yield Oddity(what, shape(layer), shape(node), name_of(weight_of(layer)))
            return


def _maker(node: Any) -> Any:
    """What the number was that an operation was given, before constants were added to it or
    multiplied with it."""
    *_, made = chain(node, BY_CONSTANTS | {"Pow"})
    return made


def _parts(made: Any) -> list[Any]:
    """What was put side by side, if it was, to be cut apart again."""
    return [made, *(_maker(each) for each in data_of(made))] if kind(made) == "Cat" else [made]


def _spread(noise: Any) -> Any:
    """The layer that gives the logarithm of what noise is multiplied by."""
    for node in chain(noise, BY_CONSTANTS):
        if kind(node) == "Exp":
            before = _maker(operands(node)[0])
            return before if is_map(before) else None
    return None
