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

from layerscope.engine.probe.step import MadeOf

__all__ = ["made_of", "uniform_answer"]

MOST_NODES = 64
"""Of a loss: terms and factors beyond these are not looked at."""
LIKELIHOODS = frozenset({"NllLoss", "NllLoss2D", "NllLossNd"})
BINARY = frozenset({"BinaryCrossEntropyWithLogits"})
BY_ENTRY = frozenset({"MseLoss", "SmoothL1Loss", "HuberLoss"})
"""What PyTorch computes in one operation, having stretched what it is given."""
DIFFERENCES = frozenset({"Sub", "Rsub"})
SHAPES = frozenset({
    "View", "UnsafeView", "ReshapeAlias", "Transpose", "Permute", "Squeeze", "Unsqueeze", "Clone",
    "Alias", "Slice", "Select", "Index", "ToCopy", "Unbind", "Split", "Contiguous", "T",
})  # fmt: skip
"""What leaves each number as it is."""
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
MEAN = 1
"""PyTorch's number for ``reduction="mean"``."""


def made_of(loss: Any) -> MadeOf | None:
    """What the first of PyTorch's losses within ``loss`` was given, or of another the first
    difference that was stretched; None where there is neither.

    >>> import torch
    >>> logits = torch.zeros(8, 3, requires_grad=True) + 1
    >>> made_of(torch.nn.functional.cross_entropy(logits.softmax(1), torch.zeros(8).long()))
    MadeOf(loss='cross_entropy', given='softmax', output=(8, 3), stretched=None, alone=True)
    """
    if not isinstance(loss, Tensor) or loss.grad_fn is None:
        return None
    with contextlib.suppress(Exception):  # operations of others' may answer with any
        return _made_of(loss.grad_fn)
    return None


def _made_of(root: Any) -> MadeOf | None:
    for node in _terms(root):
        kind, operands = _kind(node), _operands(node)
        alone = node is root and getattr(node, "_saved_reduction", None) == MEAN
        if kind in LIKELIHOODS and operands:
            before = _through_shapes(operands[0])
            logits = _kind(before) == "LogSoftmax"
            after = _operands(before)
            if not logits or not after:
                return MadeOf("nll_loss", _maker(before), _shape(before), None, False)
            given = _through_shapes(after[0])
            return MadeOf("cross_entropy", _maker(given), _shape(before), None, alone)
        if kind in BINARY and operands:
            given = _through_shapes(operands[0])
            name = "binary_cross_entropy_with_logits"
            return MadeOf(name, _maker(given), _shape(given), None, False)
        if kind in BY_ENTRY | DIFFERENCES and (found := _stretched(node)):
            return found
    return None


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
        if _kind(node) not in BY_ONE | SHAPES:
            continue
        for each in _operands(node):
            if id(each) not in seen:
                seen.add(id(each))
                waiting.append(each)


def _stretched(node: Any) -> MadeOf | None:
    """Of a difference with something that has no gradient: where one column, or one row, was held
    against as many numbers in the other direction."""
    operands = _operands(node)
    if len(operands) != 1:
        return None
    (given,) = operands
    to = _shape(given) if _kind(given) == "Expand" else _shape(node)
    if _kind(given) == "Expand":
        inner = _operands(given)
        if not inner:
            return None
        given = inner[0]
    elif _kind(node) in BY_ENTRY:
        return None
    # Who turned it, or gave it an axis, has meant to hold each against each.
    if _kind(given) in ARRANGED:
        return None
    shape = _shape(given)
    entries = math.prod(shape)
    square = len(to) == 2 and to[0] == to[1] == entries > 1
    if not square or shape not in {(entries, 1), (entries,)}:
        return None
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", _kind(node)).lower()
    return MadeOf(name if _kind(node) in BY_ENTRY else "the loss", _maker(given), shape, to, False)


def _through_shapes(node: Any) -> Any:
    """What made the numbers that a chain of changes of shape has handed on."""
    for _ in range(MOST_NODES):
        operands = _operands(node)
        if _kind(node) not in SHAPES or not operands:
            break
        node = operands[0]
    return node


def _kind(node: Any) -> str:
    """An operation's name: ``NllLossBackward0`` is NllLoss."""
    return re.sub(r"Backward\d*$", "", node.name())


def _maker(node: Any) -> str:
    kind = _kind(node)
    return "linear" if kind in LINEAR else MADE_BY.get(kind, "")


def _operands(node: Any) -> list[Any]:
    """Those with a gradient."""
    return [each for each, _ in node.next_functions if each is not None]


def _shape(node: Any) -> tuple[int, ...]:
    """Of what an operation gave; none where this PyTorch does not tell."""
    given = getattr(node, "_input_metadata", None) or ()
    try:
        return tuple(int(n) for n in given[0].shape) if given else ()
    except (AttributeError, TypeError, RuntimeError):  # a nested tensor's
        return ()
