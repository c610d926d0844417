"""Which layers stand for a block: its linear map, what goes into its φ, what it hands on, and where
units fall silent."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from layerscope.engine.execution.network import LayerInfo

__all__ = ["SIDES", "Block", "Side", "blocks"]

Side = Literal["after", "before"]
SIDES: tuple[Side, ...] = ("after", "before")
"""The sides of the activation function that a block can be looked at from."""


class Block(NamedTuple):
    """Indices of layers. Without an activation both sides are the same layer; where nothing but the
    network's input goes into φ, φ itself stands for both. ``silent``: ``after``, or φ where the
    linear map comes behind it."""

    linear: int
    before: int
    after: int
    silent: int

    def at(self, side: Side) -> int:
        """The layer that stands for the block."""
        return self.after if side == "after" else self.before


def blocks(layers: Sequence[LayerInfo]) -> list[Block]:
    """The blocks of a network, first to last.

    >>> from layerscope.engine.execution.network import layout
    >>> from layerscope.engine.experiment.specification import Experiment
    >>> blocks(layout(Experiment(depth=1, norm="layer", residual=True)))
    [Block(linear=0, before=1, after=3, silent=3), Block(linear=4, before=4, after=4, silent=4)]
    >>> blocks(layout(Experiment(depth=2, block_order="linear_last")))[:2]
    [Block(linear=1, before=0, after=1, silent=0), Block(linear=3, before=1, after=3, silent=2)]
    """
    return [_block(list(within)) for _, within in groupby(layers, key=lambda info: info.block)]


def _block(layers: Sequence[LayerInfo]) -> Block:
    roles = [info.role for info in layers]
    # Before φ is whatever comes right before it; a sum comes after it, or after what stands for it.
    into = next((i for i, role in enumerate(roles) if role in ("activation", "sum")), len(roles))
    first, linear = layers[0].index, roles.index("linear_map")
    after = layers[-1].index
    silent = first + into if into < linear else after
    return Block(first + linear, max(0, first + into - 1), after, silent)
