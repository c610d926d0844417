"""Expressions of tensors as trees: written as source text, computed by walking the tree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Binary", "Insert", "Method", "Node", "Operand", "Permute"]


class Node(ABC):
    """An expression."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The expression as Python, with the operands called ``x0``, ``x1``, ..."""

    @abstractmethod
    def value(self, operands: Sequence[Tensor]) -> Tensor:
        """What the expression is for these operands."""

    @property
    def inner(self) -> str:
        """The text as a part of a larger expression."""
        return self.text


@dataclass(frozen=True)
class Operand(Node):
    """An operand as it was given."""

    index: int

    @property
    def text(self) -> str:
        return f"x{self.index}"

    def value(self, operands: Sequence[Tensor]) -> Tensor:
        return operands[self.index]


@dataclass(frozen=True)
class Binary(Node):
    """A matrix product ``@`` or an elementwise product ``*``."""

    operator: str
    left: Node
    right: Node

    @property
    def text(self) -> str:
        return f"{self.left.inner} {self.operator} {self.right.inner}"

    @property
    def inner(self) -> str:
        return f"({self.text})"

    def value(self, operands: Sequence[Tensor]) -> Tensor:
        left, right = self.left.value(operands), self.right.value(operands)
        return left @ right if self.operator == "@" else left * right


METHODS: dict[str, Callable[..., Tensor]] = {
    "diagonal": lambda x, a, b: x.diagonal(dim1=a, dim2=b),
    "sum": lambda x, *axes: x.sum(axes) if axes else x.sum(),
    "squeeze": lambda x, *axes: x.squeeze(axes),
    "unsqueeze": torch.unsqueeze,
    "flatten": torch.flatten,
    "unflatten": lambda x, axis, *sizes: x.unflatten(axis, sizes),
}
"""The only methods an expression can call, and what each does with its arguments."""


@dataclass(frozen=True)
class Method(Node):
    """One of `METHODS` of an expression."""

    child: Node
    name: str
    arguments: tuple[int, ...]
    dims: int
    """How many dimensions the child has."""

    @property
    def text(self) -> str:
        return f"{self.child.inner}.{self.name}({self._arguments()})"

    def _arguments(self) -> str:
        arguments = self.arguments
        if self.name == "diagonal":
            return "" if self.dims == 2 else f"dim1={arguments[0]}, dim2={arguments[1]}"
        if self.name == "unflatten":
            return f"{arguments[0]}, {arguments[1:]}"
        if self.name in ("sum", "squeeze") and len(arguments) > 1:
            return str(arguments)
        return ", ".join(map(str, arguments))

    def value(self, operands: Sequence[Tensor]) -> Tensor:
        return METHODS[self.name](self.child.value(operands), *self.arguments)


@dataclass(frozen=True)
class Permute(Node):
    """The axes in another order, in the shortest way to write it."""

    child: Node
    order: tuple[int, ...]

    @property
    def text(self) -> str:
        moved = [axis for axis, source in enumerate(self.order) if axis != source]
        dims = len(self.order)
        if dims == 2:
            return f"{self.child.inner}.T"
        if moved == [dims - 2, dims - 1]:
            return f"{self.child.inner}.mT"
        if len(moved) == 2:
            return f"{self.child.inner}.transpose({moved[0]}, {moved[1]})"
        return f"{self.child.inner}.permute({', '.join(map(str, self.order))})"

    def value(self, operands: Sequence[Tensor]) -> Tensor:
        return self.child.value(operands).permute(self.order)


@dataclass(frozen=True)
class Insert(Node):
    """Axes of size 1 put in by indexing with None, as the notes do."""

    child: Node
    pattern: tuple[bool, ...]
    """For each axis of the result whether the child has it."""

    @property
    def text(self) -> str:
        return f"{self.child.inner}[{', '.join(':' if has else 'None' for has in self.pattern)}]"

    def value(self, operands: Sequence[Tensor]) -> Tensor:
        return self.child.value(operands)[tuple(slice(None) if p else None for p in self.pattern)]
