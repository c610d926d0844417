"""The indexing by which the notes add axes: ``[None, :]``, ``[..., None]``, ``unsqueeze(1)``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

from torch import Tensor

from layerscope.engine.foundations.errors import ShapeError
from layerscope.engine.foundations.record import Record, shape_text
from layerscope.engine.foundations.tensors.literals import MAX_AXES
from layerscope.engine.foundations.tensors.scanner import LiteralError, Scanner

__all__ = ["Index", "IndexStep", "Subscript", "Unsqueeze", "parse_index"]

MAX_INDEX_LENGTH = 256  # characters
MAX_STEPS = 8

_INTEGER = re.compile(r"[+-]?[0-9]+")
_BARE = re.compile(
    r"N|n(?:p|umpy|ewaxis)\b|torch\b|Ellipsis|:|\.\.\.|[+-]?[0-9]"
)  # how an index without its brackets starts
_WORD = re.compile(r"[A-Za-z_.]+")
_NEW_AXIS = frozenset({"None", "newaxis", "np.newaxis", "numpy.newaxis", "torch.newaxis"})

Item = EllipsisType | slice | None


@dataclass(frozen=True, slots=True)
class Subscript:
    """One pair of square brackets: ``None`` adds an axis of size 1, ``:`` keeps one, ``...`` all.

    >>> Subscript((None, ...)).text
    '[None, ...]'
    """

    items: tuple[Item, ...]

    @property
    def text(self) -> str:
        return f"[{', '.join(map(_name, self.items))}]"

    def apply(self, tensor: Tensor) -> Tensor:
        """``tensor[items]``, a view.

        Errors:
            `ShapeError` where there are more ``:`` than axes.
        """
        kept = sum(isinstance(item, slice) for item in self.items)
        if kept > tensor.dim():
            raise ShapeError(
                f"{self.text} keeps {kept} axes by ':', but shape "
                f"{shape_text(tuple(tensor.shape))} has {tensor.dim()}"
            )
        index: Any = self.items
        return tensor[index]


@dataclass(frozen=True, slots=True)
class Unsqueeze:
    """``unsqueeze(axis)``: a new axis of size 1, at ``axis`` of the result."""

    axis: int

    @property
    def text(self) -> str:
        return f".unsqueeze({self.axis})"

    def apply(self, tensor: Tensor) -> Tensor:
        """``tensor.unsqueeze(axis)``, a view.

        Errors:
            `ShapeError` where ``axis`` is none of the result's.
        """
        highest = tensor.dim()
        if not -highest - 1 <= self.axis <= highest:
            raise ShapeError(
                f"unsqueeze({self.axis}) of shape {shape_text(tuple(tensor.shape))}: the axis "
                f"must be from {-highest - 1} to {highest}"
            )
        return tensor.unsqueeze(self.axis)


@dataclass(frozen=True, slots=True)
class IndexStep(Record):
    """What one step made of the shape before it."""

    text: str
    shape: tuple[int, ...]
    shape_text: str


@dataclass(frozen=True, slots=True)
class Index:
    """Steps applied one after the other; none leaves the tensor as it is."""

    steps: tuple[Subscript | Unsqueeze, ...] = ()

    @property
    def text(self) -> str:
        """All steps, as written behind a tensor's name."""
        return "".join(step.text for step in self.steps)

    def apply(self, tensor: Tensor) -> tuple[Tensor, tuple[IndexStep, ...]]:
        """The view that the steps make of ``tensor``, and the shape after each.

        Errors:
            `ShapeError` where a step does not fit, or more than `MAX_AXES` axes result.

        >>> import torch
        >>> view, steps = parse_index("[..., None].unsqueeze(0)").apply(torch.zeros(3))
        >>> [step.shape for step in steps]
        [(3, 1), (1, 3, 1)]
        """
        done = []
        for step in self.steps:
            tensor = step.apply(tensor)
            shape = tuple(tensor.shape)
            if len(shape) > MAX_AXES:
                raise ShapeError(f"{step.text} makes {len(shape)} axes, above {MAX_AXES}")
            done.append(IndexStep(step.text, shape, shape_text(shape)))
        return tensor, tuple(done)


def parse_index(text: str) -> Index:
    """Read ``None, ..., :`` with or without brackets, ``unsqueeze(1)``, or several in a row; None
    may be called ``np.newaxis``, and ``...`` ``Ellipsis``.

    Errors:
        `LiteralError`; an integer or a slice with bounds is one too, since neither adds an axis.

    >>> parse_index("None, :").text, parse_index(".unsqueeze(-1)[None]").text, parse_index("").text
    ('[None, :]', '.unsqueeze(-1)[None]', '')
    """
    scanner = Scanner(text, MAX_INDEX_LENGTH)
    if not scanner.peek():
        return Index()
    if scanner.token(_BARE):
        return Index((Subscript(_items(scanner, closing="")),))
    steps: list[Subscript | Unsqueeze] = []
    while scanner.peek():
        if len(steps) == MAX_STEPS:
            raise scanner.error(f"at most {MAX_STEPS} steps")
        steps.append(_step(scanner))
    return Index(tuple(steps))


def _name(item: Item) -> str:
    return ":" if isinstance(item, slice) else "None" if item is None else "..."


def _step(scanner: Scanner) -> Subscript | Unsqueeze:
    if scanner.take("["):
        items = _items(scanner, closing="]")
        scanner.take("]")
        return Subscript(items)
    scanner.take(".")
    if not scanner.take("unsqueeze"):
        raise scanner.error("None, ..., ':' or unsqueeze(axis)")
    if not scanner.take("("):
        raise scanner.error("'('")
    digits = scanner.token(_INTEGER)
    if not digits:
        raise scanner.error("an axis, such as 0 or -1")
    if len(digits) > 3:
        raise LiteralError(scanner.position, f"an axis of {len(digits)} digits", "0 or -1, say")
    scanner.take(digits)
    if not scanner.take(")"):
        raise scanner.error("')'")
    return Unsqueeze(int(digits))


def _items(scanner: Scanner, closing: str) -> tuple[Item, ...]:
    items: list[Item] = []
    while True:
        if len(items) == 2 * MAX_AXES:
            raise scanner.error(f"at most {2 * MAX_AXES} entries")
        position = scanner.position
        item = _item(scanner)
        if item is ... and ... in items:
            raise LiteralError(position, "a second '...'", "one '...' at most")
        items.append(item)
        comma = scanner.take(",")
        if scanner.peek() == closing:
            return tuple(items)
        if not comma:
            raise scanner.error(f"',' or {closing!r}" if closing else "',' or the end of the text")


def _item(scanner: Scanner) -> Item:
    if scanner.take("..."):
        return ...
    if scanner.take(":"):
        return slice(None)
    word = scanner.token(_WORD)
    if word in _NEW_AXIS and scanner.take(word):
        return None
    if word == "Ellipsis" and scanner.take(word):
        return ...
    if scanner.token(_INTEGER):
        raise scanner.error("None, ... or ':' (a number would remove an axis, not add one)")
    raise scanner.error("None, ... or ':'")
