"""What a loss was made of, by the graph that autograd keeps of it: what was asked of the network
where the loss function was not called through the probe. After the backward pass the graph has no
tensor left, but its operations and their shapes."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from layerscope.engine.probe.graph.operations import (
    SHAPES,
    axis,
    kind,
    operands,
    shape,
    through_shapes,
)
from layerscope.engine.probe.step import MadeOf

__all__ = ["made_of", "uniform_answer"]

MOST_NODES = 64
"""Of a loss: terms and factors beyond these are not looked at."""
LIKELIHOODS = frozenset({"NllLoss", "NllLoss2D", "NllLossNd"})
BINARY = frozenset({"BinaryCrossEntropyWithLogits"})
BY_ENTRY = frozenset({"MseLoss", "SmoothL1Loss", "HuberLoss"})
"""What PyTorch computes in one operation, having stretched what it is given."""
DIFFERENCES = frozenset({"Sub", "Rsub"})
ARRANGED = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Unsqueeze", "T",
})  # fmt: skip
"""By which somebody says which axis is held against which."""
LINEAR = frozenset({"Addmm", "Mm", "Bmm", "Baddbmm", "Linear", "Convolution"})
MADE_BY = {
    "Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh", "Relu": "relu",
    "LogSoftmax": "log_softmax", "Log": "log",
}  # fmt: skip
BY_ONE = frozenset({
    "Pow", "Abs", "Mean", "Sum", "Mul", "Div", "Neg", "Sqrt", "Add", "Sub", "Rsub", "Where",
    "Clamp", "ClampMin", "ClampMax", "Minimum", "Maximum", "Exp", "Log", "Log1P", "Softplus",
})  # fmt: skip
"""What losses are put together with."""
SOFTMAXES = frozenset({"Softmax", "LogSoftmax"})
NEARLY = frozenset({"Add", "Clamp", "ClampMin"})
MULTIPLIES = frozenset({"Neg", "Mul", "Div"})
STRETCHES = frozenset({"Expand", "ClampMin", "Clone"})
NORMS = frozenset({"LinalgVectorNorm", "Norm"})
MEAN, TOTAL = 1, 2
"""PyTorch's numbers for ``reduction="mean"`` and ``"sum"``."""


def made_of(loss: Any) -> MadeOf | None:
    """What the first of PyTorch's losses within ``loss`` was given, one of classes rather than one
    entry by entry, or of another the first difference that was stretched; None where there is none.

    >>> import torch
    >>> logits = torch.zeros(8, 3, requires_grad=True) + 1
    >>> made = made_of(torch.nn.functional.cross_entropy(logits.softmax(1), torch.zeros(8).long()))
    >>> made.loss, made.given, made.output
    ('cross_entropy', 'softmax', (8, 3))
    """
    if not isinstance(loss, Tensor) or loss.grad_fn is None:
        return None
    with contextlib.suppress(Exception):  # operations of others' may answer with any
        return _made_of(loss.grad_fn)
    return None


def _made_of(root: Any) -> MadeOf | None:
    by_entry = None
    for node in _terms(root):
        what, given = kind(node), operands(node)
        alone = node is root and getattr(node, "_saved_reduction", None) == MEAN
        if what in LIKELIHOODS and given:
            return _likelihood(root, node, given[0], alone=alone)
        if what in BINARY and given:
            made = through_shapes(given[0])
            name = "binary_cross_entropy_with_logits"
            return MadeOf(name, _maker(made), shape(made), None, alone, None, _times(root, node))
        if what == "Sub" and (divergence := _divergence(node)):
            return divergence
        if what in BY_ENTRY | DIFFERENCES and (found := _stretched(node)):
            return found
        if what in BY_ENTRY and given and by_entry is None:
            made = through_shapes(given[0])
            by_entry = MadeOf(
                _function(what), _maker(made), shape(made), None, alone, None, _times(root, node)
            )  # fmt: skip
    return by_entry


def _likelihood(root: Any, node: Any, given: Any, *, alone: bool) -> MadeOf:
    before = through_shapes(given)
    times, over = _times(root, node), _over(given, before)
    after = operands(before)
    if kind(before) != "LogSoftmax" or not after:
        return MadeOf("nll_loss", _maker(before), shape(before), None, False, over, times)
    made = _maker(through_shapes(after[0]))
    return MadeOf("cross_entropy", made, shape(before), None, alone, over, times)


def _over(given: Any, before: Any) -> int | None:
    """The axis over which a softmax, or one of which the logarithm was taken, adds up to one, where
    that is not the axis of classes of what a likelihood was ``given``: that is as long as no axis
    of its, or it is another one of the same tensor."""
    made = before
    if kind(made) == "Log":  # of a softmax, by hand, perhaps with a little more, or not below it
        for _ in range(len(NEARLY) + 1):
            (made,) = operands(made)[:1] or (made,)
            if kind(made) not in NEARLY:
                break
    along, sizes, taken = axis(made), shape(made), shape(given)
    if kind(made) not in SOFTMAXES or along is None or min(len(sizes), len(taken)) < 2:
        return None
    elsewhere = along != 1 if given is before else sizes[along] != taken[1]
    return along if elsewhere else None


def _times(root: Any, node: Any) -> bool:
    """Whether a loss is one of PyTorch's numbers with another sign or factor, and no more."""
    if node is root or getattr(node, "_saved_reduction", None) not in {MEAN, TOTAL}:
        return False
    at = root
    while at is not node:
        given = operands(at)
        if kind(at) not in MULTIPLIES or len(given) != 1:
            return False
        at = given[0]
    return True


def uniform_answer(made: MadeOf | None) -> float | None:
    """The loss of one who holds every class for as likely, which one constant answer at least
    reaches; None where the loss is not the mean cross entropy and no more."""
    if made is None or made.loss != "cross_entropy" or not made.alone or len(made.output) < 2:
        return None
    return math.log(made.output[1]) or None


def _terms(root: Any) -> Iterator[Any]:
    """The operations that a loss was put together with, nearest first, without what lies behind
    one that is a loss by itself."""
    waiting, seen = [root], {id(root)}
    for node in waiting:
        if len(seen) > MOST_NODES:
            return
        yield node
        if kind(node) not in BY_ONE | SHAPES:
            continue
        for each in operands(node):
            if id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)


def _stretched(node: Any) -> MadeOf | None:
    """Of a difference with something that has no gradient: where one column, or one row, was held
    against as many numbers in the other direction."""
    if len(given := operands(node)) != 1:
        return None
    (made,) = given
    to = shape(made) if kind(made) == "Expand" else shape(node)
    if kind(made) == "Expand":
        inner = operands(made)
        if not inner:
            return None
        made = inner[0]
    elif kind(node) in BY_ENTRY:
        return None
    # Who turned it, or gave it an axis, has meant to hold each against each.
    if kind(made) in ARRANGED:
        return None
    sizes = shape(made)
    entries = math.prod(sizes)
    square = len(to) == 2 and to[0] == to[1] == entries > 1
    if not square or sizes not in {(entries, 1), (entries,)}:
        return None
    name = _function(kind(node)) if kind(node) in BY_ENTRY else "the loss"
    return MadeOf(name, _maker(made), sizes, to, False)


def _divergence(node: Any) -> MadeOf | None:
    """Of PyTorch's kl_div, which is t · log t less t · input, where the targets have no gradient:
    what was given for logarithms, as far as that is chances."""
    (first, _), *others = node.next_functions
    product = others[0][0] if len(others) == 1 else None
    if first is not None or product is None or kind(product) != "Mul":
        return None
    given = operands(product)
    made = through_shapes(given[0]) if len(given) == 1 else None
    if made is None or kind(made) != "Softmax":
        return None
    return MadeOf("kl_div", _maker(made), shape(made), None, False)


def _function(what: str) -> str:
    """An operation's name as the function that calls it: ``mse_loss``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", what).lower()


def _maker(node: Any) -> str:
    made = kind(node)
    if made in LINEAR:
        return "cosine" if _of_directions(node) else "linear"
    given = operands(node)
    if made in MULTIPLIES and len(given) == 1 and _is_cosine(through_shapes(given[0])):
        return "scaled cosine"
    return "product" if made == "Mul" and len(given) == 1 else MADE_BY.get(made, "")


def _is_cosine(node: Any) -> bool:
    return kind(node) in LINEAR and _of_directions(node)


def _of_directions(product: Any) -> bool:
    """Whether both sides of a product of matrices have been divided by their norms: its entries are
    cosines."""
    sides = [through_shapes(each) for each in operands(product)]
    return len(sides) == 2 and all(map(_of_length_one, sides))


def _of_length_one(node: Any) -> bool:
    """Whether something was divided by the norm of itself."""
    if kind(node) != "Div" or len(given := operands(node)) != 2:
        return False
    norm = given[1]
    while kind(norm) in STRETCHES and (before := operands(norm)):
        norm = before[0]
    return kind(norm) in NORMS and any(each is given[0] for each in operands(norm))
