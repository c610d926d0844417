"""Operations as autograd keeps them: after the backward pass no tensor is left of them, but their
names, their shapes and what they were told."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from torch import nn

__all__ = [
    "DISTANCES", "LEAF", "SHAPES", "NameOf", "axis", "chain", "data_of", "is_leaf", "is_map",
    "kind", "operands", "shape", "through_shapes", "weight_of",
]  # fmt: skip

LEAF = "torch::autograd::AccumulateGrad"
DISTANCES = frozenset({"MseLoss", "SmoothL1Loss", "HuberLoss"})
PRODUCTS = frozenset({"Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "Convolution"})

SHAPES = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Clone",
    "Alias", "Slice", "Select", "Index", "ToCopy", "Unbind", "Split", "SplitWithSizes",
    "Contiguous", "T",
})  # fmt: skip
"""What leaves each number as it is."""
LONGEST = 64
"""Operations in a row."""

NameOf = Callable[[Any], str | None]
"""The name of a parameter that is the model's; None of others."""


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


def chain(node: Any, kinds: Collection[str]) -> Iterator[Any]:
    """An operation and, back from it, what each was made of, as long as it is of one of the
    ``kinds`` and of one thing alone beside parameters and constants; the last is not."""
    for _ in range(LONGEST):
        yield node
        given = data_of(node)
        if kind(node) not in kinds or len(given) != 1:
            return
        node = given[0]


def is_leaf(node: Any) -> bool:
    """Whether it stands for a parameter, or another tensor that nothing has made, as it is or only
    turned and cut."""
    return bool(through_shapes(node).name() == LEAF)


def weight_of(node: Any) -> Any:
    """The parameter of more than one axis by which a product of matrices or a convolution
    multiplies; None where that is no parameter, or no such operation."""
    if kind(node) not in PRODUCTS:
        return None
    held = [through_shapes(each).variable for each in operands(node) if is_leaf(each)]
    return next((p for p in held if isinstance(p, nn.Parameter) and p.dim() > 1), None)


def is_map(node: Any) -> bool:
    """Whether it multiplies what it is given by a parameter, and that alone is given to it."""
    return weight_of(node) is not None and len(data_of(node)) < 2


def data_of(node: Any) -> list[Any]:
    """What of its operands has a gradient and is no parameter."""
    return [each for each in operands(node) if not is_leaf(each)]
