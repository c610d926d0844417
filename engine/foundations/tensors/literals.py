"""Parsers of what a person types: tensors as nested lists, shapes, axes. Nothing is evaluated.

Every failure is a `LiteralError` with the position where it happened, what was found there and what
was expected. Work is proportional to the length of the text, and that is bounded first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor

from layerscope.engine.foundations.tensors.scanner import LiteralError, Scanner

__all__ = ["MAX_AXES", "MAX_SIZE", "LiteralError", "parse_axes", "parse_shape", "parse_tensor"]

MAX_AXES = 8
"""Axes of a shape that is typed in; drawings of more are no longer readable."""
MAX_SIZE = 2**40
"""Largest size of one axis that can be typed in."""
MAX_SHAPE_LENGTH = 256  # characters: eight axes of thirteen digits and their separators
MAX_NUMBER_LENGTH = 64  # characters: a float64 needs at most 24
OVERFLOW = 2.0**128 - 2.0**103
"""The least number that rounds to infinity in float32: half a step above its largest."""

_TOKEN = re.compile(r"[+-]?(?:[0-9]|\.[0-9]|[A-Za-z_])[0-9A-Za-z_.]*(?:(?<=[eE])[+-][0-9]+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_PRINTED_SHAPES = ("torch.Size", "Size")
_PRINTED_TENSORS = ("torch.tensor", "tensor", "np.array", "numpy.array", "array")
_BOOLS = {"True": True, "False": False}


def parse_tensor(
    text: str, *, max_elements: int = 1024, max_depth: int = MAX_AXES, max_length: int = 20_000
) -> Tensor:
    """A tensor written as a nested Python list of numbers, or as one number (0-d).

    Integers, decimals, exponents, ``nan``, ``inf`` and ``True``/``False``; a comma may end a list.
    ``tensor(…)`` and NumPy's ``array(…)`` around it, as they are printed, change nothing.
    The dtype is float32, as in the notes' ``tensor([10., 6, 4])``; ``bool`` where every entry is
    ``True`` or ``False``. A number beyond float32's largest is refused, not made infinite.

    Args:
        text: what was typed.
        max_elements: most numbers; an empty list counts as one.
        max_depth: most axes, at most 64.
        max_length: most characters.

    Errors:
        `LiteralError`, also for a list whose entries differ in length or kind.

    >>> parse_tensor("[[1, 2.5], [-3, 1e2]]")
    tensor([[  1.0000,   2.5000],
            [ -3.0000, 100.0000]])
    >>> parse_tensor("[[1, 2, 3], [4, 5]]")
    Traceback (most recent call last):
    ...
    layerscope.engine.foundations.tensors.scanner.LiteralError: at position 12: found row 1 with \
2 entries, expected 3 as row 0 has
    """
    if not 0 <= max_depth <= 64:
        raise ValueError(f"max_depth is {max_depth}; expected 0 to 64")
    parser = _TensorParser(Scanner(text, max_length), max_elements, max_depth)
    called = _called(parser.scanner, _PRINTED_TENSORS)
    shape = parser.value(())
    if called and not parser.scanner.take(")"):
        raise parser.scanner.error("')': nothing else, a number format neither")
    parser.scanner.expect_end()
    values = parser.values
    only_bools = bool(values) and all(isinstance(value, bool) for value in values)
    return torch.tensor(values, dtype=torch.bool if only_bools else torch.float32).reshape(shape)


class _TensorParser:
    """Recursive descent over one literal; ``path`` is the index of the value being read."""

    def __init__(self, scanner: Scanner, max_elements: int, max_depth: int) -> None:
        self.scanner = scanner
        self.max_elements = max_elements
        self.max_depth = max_depth
        self.values: list[float] = []
        self.empty = 0

    def value(self, path: tuple[int, ...]) -> tuple[int, ...]:
        """Read a number or a list; its shape."""
        if self.scanner.peek() == "[":
            return self._list(path)
        position = self.scanner.position
        self.values.append(_number(self.scanner))
        self._limit(position)
        return ()

    def _limit(self, position: int) -> None:
        elements = len(self.values) + self.empty
        if elements > self.max_elements:
            found = f"element {elements}"
            raise LiteralError(position, found, f"at most {self.max_elements} elements")

    def _list(self, path: tuple[int, ...]) -> tuple[int, ...]:
        if len(path) == self.max_depth:
            deeper = f"a list inside {len(path)} lists"
            raise LiteralError(self.scanner.position, deeper, f"at most {self.max_depth} axes")
        start = self.scanner.position
        self.scanner.take("[")
        first: tuple[int, ...] | None = None
        count = 0
        while not self.scanner.take("]"):
            if count and not self.scanner.take(","):
                raise self.scanner.error("',' or ']'")
            if count and self.scanner.take("]"):  # a comma may end the list
                break
            self.scanner.skip_space()
            position = self.scanner.position
            shape = self.value((*path, count))
            first = shape if first is None else first
            if shape != first:
                raise _ragged(position, path, count, shape, first)
            count += 1
        if not count:
            self.empty += 1
            self._limit(start)
        return (count, *(first or ()))


def _called(scanner: Scanner, names: tuple[str, ...]) -> bool:
    """Step over one of the names and its '(', as Python prints a value; whether they were there."""
    return any(scanner.take(f"{name}(") for name in names)


def _number(scanner: Scanner) -> float:
    """Read one number, or one of the words that stand for one."""
    token = scanner.token(_TOKEN)
    position = scanner.position
    if not token:
        raise scanner.error("a number or '['")
    scanner.position += len(token)
    if len(token) > MAX_NUMBER_LENGTH:
        found = f"a number of {len(token)} characters"
        raise LiteralError(position, found, f"at most {MAX_NUMBER_LENGTH}")
    if token in _BOOLS:
        return _BOOLS[token]
    sign = -1.0 if token.startswith("-") else 1.0
    word = token.lstrip("+-").lower()
    if word in _WORDS:
        return sign * _WORDS[word]
    if not _NUMBER.fullmatch(token):
        raise LiteralError(position, repr(token), "a number, nan, inf, True or False")
    number = float(token)
    if abs(number) >= OVERFLOW:
        raise LiteralError(position, repr(token), "at most 3.40282e+38, float32's largest, or inf")
    return number


def _ragged(
    position: int,
    path: tuple[int, ...],
    row: int,
    shape: tuple[int, ...],
    first: tuple[int, ...],
) -> LiteralError:
    """Why entry ``row`` of the list at ``path`` does not fit its entry 0."""
    where = f"in entry {list(path)} " if path else ""
    if not shape or not first:
        kinds = ["a list" if s else "a number" for s in (shape, first)]
        return LiteralError(
            position, f"{where}entry {row} is {kinds[0]}", f"{kinds[1]} as entry 0 is"
        )
    if shape[0] == first[0]:
        found = f"{where}row {row} with shape {shape}"
        return LiteralError(position, found, f"{first} as row 0 has")
    entries = "entry" if shape[0] == 1 else "entries"
    found = f"{where}row {row} with {shape[0]} {entries}"
    return LiteralError(position, found, f"{first[0]} as row 0 has")


def _integers(
    text: str, what: str, read: Callable[[Scanner], int], printed: tuple[str, ...] = ()
) -> tuple[int, ...]:
    """Integers between optional brackets, separated by commas or spaces; ``printed``: names that
    may be called on them."""
    scanner = Scanner(text, MAX_SHAPE_LENGTH)
    called = _called(scanner, printed)
    if called and scanner.peek() not in ("(", "["):
        raise scanner.error("'['")
    closing = {"(": ")", "[": "]"}.get(scanner.peek(), "")
    if closing:
        scanner.take(scanner.peek())
    numbers: list[int] = []
    comma = False
    while scanner.peek() != closing:
        if not scanner.peek():
            raise scanner.error(repr(closing))
        if numbers and not comma and not scanner.text[scanner.position - 1].isspace():
            raise scanner.error(f"',' or a space between {what}s")
        if len(numbers) == MAX_AXES:
            raise scanner.error(f"at most {MAX_AXES} {what}s")
        numbers.append(read(scanner))
        comma = scanner.take(",")
    if closing:
        scanner.take(closing)
        if called and not scanner.take(")"):
            raise scanner.error("')'")
        scanner.expect_end()
    return tuple(numbers)


def _not(scanner: Scanner, token: str, expected: str) -> LiteralError:
    """That ``token``, or the next character where there is none, is not ``expected``."""
    if not token:
        return scanner.error(expected)
    shown = token if len(token) <= MAX_NUMBER_LENGTH else f"{token[:MAX_NUMBER_LENGTH]}…"
    return LiteralError(scanner.position, repr(shown), expected)


def _size(scanner: Scanner) -> int:
    token = scanner.token(_TOKEN)
    if token.startswith("-"):
        raise LiteralError(scanner.position, token, "a size of 0 or more")
    if not re.fullmatch("[0-9]+", token):
        raise _not(scanner, token, "a size, a whole number of 0 or more")
    if len(token) > len(str(MAX_SIZE)) or int(token) > MAX_SIZE:
        raise _not(scanner, token, f"a size of at most {MAX_SIZE}")
    scanner.position += len(token)
    return int(token)


def _axis(scanner: Scanner) -> int:
    token = scanner.token(_TOKEN)
    if not re.fullmatch("[+-]?[0-9]{1,3}", token):
        raise _not(scanner, token, "an axis, such as 0 or -1")
    scanner.position += len(token)
    return int(token)


def parse_shape(text: str) -> tuple[int, ...]:
    """A shape: sizes separated by commas or spaces, with or without brackets; none is a scalar's.
    As PyTorch prints it, ``torch.Size([64, 1])``, is one too.

    Errors:
        `LiteralError` for anything else, for more than `MAX_AXES` sizes, one above `MAX_SIZE`, or
        a text of more than 256 characters.

    >>> parse_shape("3, 1, 4"), parse_shape("(3,)"), parse_shape("[3 1 4]"), parse_shape("")
    ((3, 1, 4), (3,), (3, 1, 4), ())
    >>> parse_shape("torch.Size([64, 1])")
    (64, 1)
    """
    return _integers(text, "size", _size, _PRINTED_SHAPES)


def parse_axes(text: str) -> tuple[int, ...] | None:
    """Axes to reduce over, ``0``, ``0, -1`` or ``(0, 1)``; nothing or ``None`` means all: None.

    >>> parse_axes("0, -1"), parse_axes(""), parse_axes("None")
    ((0, -1), None, None)
    """
    if text.strip() in {"", "None", "()", "[]"}:
        return None
    return _integers(text, "axis", _axis)
