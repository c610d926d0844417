"""Operations as autograd keeps them: after the backward pass no tensor is left of them, but their
names, their shapes and what they were told."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["SHAPES", "axis", "kind", "operands", "shape", "through_shapes"]

SHAPES = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Clone",
    "Alias", "Slice", "Select", "Index", "ToCopy", "Unbind", "Split", "Contiguous", "T",
})  # fmt: skip
"""What leaves each number as it is."""
LONGEST = 64
"""Changes of shape in a row."""


def kind(node: Any) -> str:
    """An operation's name: ``NllLossBackward0`` is NllLoss."""
    return re.sub(r"Backward\d*$", "", node.name())


def operands(node: Any) -> list[Any]:
    """Those with a gradient."""
    return [each for each, _ in node.next_functions if each is not None]


def shape(node: Any) -> tuple[int, ...]:
    """Of what an operation gave; none where this PyTorch does not tell."""
    given = getattr(node, "_input_metadata", None) or ()
    try:
        return tuple(int(n) for n in given[0].shape) if given else ()
    except (AttributeError, TypeError, RuntimeError):  # a nested tensor's
        return ()


def axis(node: Any) -> int | None:
    """That along which an operation worked, counted from the front; None where it is not told."""
    along, sizes = getattr(node, "_saved_dim", None), shape(node)
    if not isinstance(along, int) or not sizes:
        return None
    along = along - 2**64 if along >= 2**63 else along
    return along % len(sizes) if -len(sizes) <= along < len(sizes) else None


def through_shapes(node: Any) -> Any:
    """What made the numbers that a chain of changes of shape has handed on."""
    for _ in range(LONGEST):
        given = operands(node)
        if kind(node) not in SHAPES or not given:
            break
        node = given[0]
    return node
