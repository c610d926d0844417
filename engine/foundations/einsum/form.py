"""The same result by ``@``, ``*``, ``sum``, ``transpose`` and ``diagonal``.

Built for any equation in the order of its contraction: every operand has its stretched axes
squeezed out, its diagonals taken and its private letters summed; then two at a time, letters that
both have and a later step needs are batches, those nobody needs any more are contracted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from layerscope.engine.foundations.einsum.path import Contraction, Path, other_orders
from layerscope.engine.foundations.einsum.shapes import Binding
from layerscope.engine.foundations.einsum.shrinking import shrunk
from layerscope.engine.foundations.einsum.tree import Binary, Insert, Method, Node, Operand, Permute

__all__ = ["EqualForm", "equal_form"]

Labels = tuple[str, ...]

SMALL = 2**20
"""Products that may be in memory at once, where that is the simpler way to write it."""


@dataclass(frozen=True)
class _Piece:
    """An expression and the label of each of its axes."""

    node: Node
    labels: Labels

    def method(self, name: str, arguments: Sequence[int], labels: Sequence[str]) -> _Piece:
        node = Method(self.node, name, tuple(arguments), len(self.labels))
        return _Piece(node, tuple(labels))

    def ordered(self, labels: Sequence[str]) -> _Piece:
        """The same axes in another order."""
        if tuple(labels) == self.labels:
            return self
        order = tuple(self.labels.index(label) for label in labels)
        return _Piece(Permute(self.node, order), tuple(labels))

    def summed(self, labels: Sequence[str]) -> _Piece:
        """Without these axes."""
        if not labels:
            return self
        kept = [label for label in self.labels if label not in labels]
        axes = [self.labels.index(label) for label in labels] if kept else []
        return self.method("sum", sorted(axes), kept)

    def aligned(self, labels: Sequence[str]) -> Node:
        """Ready to broadcast against axes ``labels``, of which this has some."""
        own = self.ordered([label for label in labels if label in self.labels])
        pattern = [label in own.labels for label in labels]
        if True in pattern:
            pattern = pattern[pattern.index(True) :]  # broadcasting puts leading axes in by itself
        return own.node if all(pattern) or not own.labels else Insert(own.node, tuple(pattern))

    def flattened(self, labels: Sequence[str], name: str) -> _Piece:
        """Several neighbouring axes as one, called ``name``."""
        if len(labels) < 2:
            return self
        start = self.labels.index(labels[0])
        end = start + len(labels)
        joined = (*self.labels[:start], name, *self.labels[end:])
        return self.method("flatten", (start, end - 1), joined)


@dataclass(frozen=True)
class EqualForm:
    """An expression without einsum, and the order in which it contracts."""

    binding: Binding
    path: Path
    node: Node

    @property
    def text(self) -> str:
        """As Python."""
        return self.node.text

    def value(self, operands: Sequence[Tensor]) -> Tensor:
        """What it is for these operands."""
        return self.node.value(operands)

    def verified(self) -> tuple[tuple[int, ...], ...] | None:
        """Shapes on which it and ``torch.einsum`` agree to the last bit on whole numbers; None
        where they do not.

        Operands are integers between -2 and 2 in float64, so that every product and sum is exact
        and the order of summation does not matter. The shapes are the real ones or, where those
        are too large to be computed, small ones of which everything else is the same.
        """
        small = shrunk(self.binding, self.path)
        node = self.node if small is self.binding else _form(self.binding, self.path, small.sizes)
        generator = torch.Generator().manual_seed(0)
        operands = [
            torch.randint(-2, 3, shape, generator=generator).to(torch.float64)
            for shape in small.shapes
        ]
        expected = torch.einsum(self.binding.equation.canonical, *operands)
        return small.shapes if torch.equal(node.value(operands), expected) else None


def equal_form(binding: Binding, contraction: Contraction) -> EqualForm:
    """The shortest expression without einsum for this equation and these shapes.

    It contracts in the cheapest order or, for three operands, in any order within the limits.

    >>> from layerscope.engine.foundations.einsum.grammar import parse_equation
    >>> from layerscope.engine.foundations.einsum.path import contraction
    >>> from layerscope.engine.foundations.einsum.shapes import bind
    >>> for equation, *shapes in (("ik,kj->ij", (2, 3), (3, 4)), ("ii", (3, 3)), ("i,j->ij", (3,),
    ...         (2,)), ("bij,bjk->bik", (3, 2, 5), (3, 5, 4)), ("bi,ij,bj->b", *[(2, 2)] * 3)):
    ...     bound = bind(parse_equation(equation), shapes)
    ...     print(equal_form(bound, contraction(bound)).text)
    x0 @ x1
    x0.diagonal().sum()
    x0[:, None] * x1
    x0 @ x1
    ((x0 @ x1) * x2).sum(1)
    """
    paths = [contraction.path, *other_orders(binding)]
    forms = (EqualForm(binding, path, _form(binding, path, binding.sizes)) for path in paths)
    return min(forms, key=lambda form: len(form.text))


def _form(binding: Binding, path: Path, sizes: Mapping[str, int]) -> Node:
    """In that order; what is written down of sizes is ``sizes``'."""
    pieces = [_prepared(binding, i) for i in range(len(binding.shapes))]
    for chosen in path:
        inputs = [pieces[i] for i in chosen]
        pieces = [piece for i, piece in enumerate(pieces) if i not in chosen]
        needed = {*binding.output, *(label for piece in pieces for label in piece.labels)}
        inputs = [_without_private(i, inputs, needed) for i in range(len(inputs))]
        inputs.sort(key=lambda piece: isinstance(piece.node, Operand))  # (x0 @ x1) * x2
        # Where the result needs no other order, axes already come as the output wants them.
        order = [*binding.output, *(label for label in binding.sizes if label in binding.summed)]
        pieces.append(
            reduce(lambda left, right: _pair(binding, sizes, left, right, needed, order), inputs)
        )
    return pieces[0].ordered(binding.output).node


def _prepared(binding: Binding, index: int) -> _Piece:
    piece = _Piece(Operand(index), binding.axes[index])
    stretched = [axis for axis in range(len(piece.labels)) if binding.stretched(index, axis)]
    if stretched:
        kept = [label for axis, label in enumerate(piece.labels) if axis not in stretched]
        piece = piece.method("squeeze", stretched, kept)
    while len(set(piece.labels)) < len(piece.labels):
        twice = next(label for label in piece.labels if piece.labels.count(label) > 1)
        first = piece.labels.index(twice)
        second = piece.labels.index(twice, first + 1)
        rest = [label for axis, label in enumerate(piece.labels) if axis not in (first, second)]
        piece = piece.method("diagonal", (first, second), (*rest, twice))
    return piece


def _without_private(index: int, inputs: list[_Piece], needed: set[str]) -> _Piece:
    # A letter that one factor alone has can be summed before it is multiplied.
    others = {label for i, piece in enumerate(inputs) if i != index for label in piece.labels}
    piece = inputs[index]
    return piece.summed([x for x in piece.labels if x not in needed and x not in others])


def _pair(
    binding: Binding,
    sizes: Mapping[str, int],
    left: _Piece,
    right: _Piece,
    needed: set[str],
    order: Sequence[str],
) -> _Piece:
    shared = [label for label in left.labels if label in right.labels]
    contracted = [label for label in shared if label not in needed]
    batch = [label for label in shared if label in needed]
    rows = [label for label in left.labels if label not in shared]
    columns = [label for label in right.labels if label not in shared]
    one_number = len(contracted) == 1 and not batch
    small = math.prod(binding.sizes[x] for x in {*left.labels, *right.labels}) <= SMALL
    if (
        not contracted
        or not (rows or columns or one_number)
        or (batch and small and not (rows and columns))
    ):
        wanted = sorted({*left.labels, *right.labels}, key=order.index)
        # What is summed next can stay where the wider factor has it, which saves a permutation.
        if contracted:
            wider = max(left, right, key=lambda piece: len(piece.labels))
            new = [label for label in wanted if label not in wider.labels]
            wanted = [*new, *wider.labels]
        factors = Binary("*", left.aligned(wanted), right.aligned(wanted))
        return _Piece(factors, tuple(wanted)).summed(contracted)
    if batch:
        return _batched(sizes, left, right, sorted(batch, key=order.index), contracted)
    if len(columns) > 1 and len(rows) == 1 and right.labels[-2:-1] == tuple(contracted) and small:
        left = left.ordered([*rows, *contracted])  # `@` repeats it for every matrix of the right
        labels = (*right.labels[:-2], *rows, right.labels[-1])
        return _Piece(Binary("@", left.node, right.node), labels)
    if len(columns) > 1 and len(rows) <= 1:  # `@` takes many rows but one column
        left, right, rows, columns = right, left, columns, rows
    left = left.ordered([*rows, *contracted]).flattened(contracted, "*")
    right = right.ordered([*contracted, *columns]).flattened(contracted, "*")
    right = right.flattened(columns, "+")
    product = _Piece(Binary("@", left.node, right.node), (*rows, *right.labels[1:]))
    return _unflattened(sizes, product, columns, "+")


def _batched(
    sizes: Mapping[str, int],
    left: _Piece,
    right: _Piece,
    batch: list[str],
    contracted: list[str],
) -> _Piece:
    rows = [label for label in left.labels if label not in (*batch, *contracted)]
    columns = [label for label in right.labels if label not in (*batch, *contracted)]
    one, other = left.ordered([*batch, *rows, *contracted]), right
    other = other.ordered([*batch, *contracted, *columns])
    one = one.flattened(rows, "-").flattened(contracted, "*")
    other = other.flattened(contracted, "*").flattened(columns, "+")
    axis = len(batch)
    if not rows:
        one = one.method("unsqueeze", (axis,), (*batch, "-", *one.labels[axis:]))
    if not columns:
        other = other.method("unsqueeze", (axis + 1,), (*other.labels, "+"))
    labels = (*batch, one.labels[axis], other.labels[-1])
    product = _Piece(Binary("@", one.node, other.node), labels)
    if not rows:
        product = product.method("squeeze", (axis,), (*batch, labels[-1]))
    if not columns:
        product = product.method("squeeze", (len(product.labels) - 1,), product.labels[:-1])
    product = _unflattened(sizes, product, columns, "+")
    return _unflattened(sizes, product, rows, "-")


def _unflattened(sizes: Mapping[str, int], piece: _Piece, labels: list[str], name: str) -> _Piece:
    if len(labels) < 2:
        return piece
    axis = piece.labels.index(name)
    each = [sizes[label] for label in labels]
    apart = (*piece.labels[:axis], *labels, *piece.labels[axis + 1 :])
    return piece.method("unflatten", (axis, *each), apart)
