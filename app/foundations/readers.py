"""How what is typed becomes numbers, tensors, shapes and indices; nothing is evaluated. A reader
turns text into a value, or raises a ``ValueError`` that says what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from torch import Tensor

from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.specification import Text
from layerscope.engine.foundations.tensors.literals import parse_tensor

__all__ = [
    "MOST_SHOWN", "CellIndex", "OptionalTensor", "TypedTensor", "chosen_cell", "number", "numbers",
]  # fmt: skip

C = TypeVar("C")

MOST_SHOWN = 256
"""Cells of one tensor on a page: each is an element of the document that can be looked at."""
LONGEST = 4000
"""Characters of a tensor's text."""
MOST_AXES = 5
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of finite numbers from ``low`` to ``high``."""

    def read(text: str) -> float:
        text = text.strip().replace("−", "-")
        if not NUMBER.fullmatch(text):
            raise ValueError("expected a number, such as 0.5")
        value = float(text)
        if not low <= value <= high or not math.isfinite(value):
            raise ValueError(f"{text} is out of range; expected a number from {low:g} to {high:g}")
        return value

    return read


def numbers(low: float, high: float, most: int) -> Callable[[str], list[float]]:
    """A reader of one to ``most`` numbers, separated by commas or spaces, brackets allowed."""
    one = number(low, high)

    def read(text: str) -> list[float]:
        inside = text.strip()
        if inside.startswith("[") and inside.endswith("]"):
            inside = inside[1:-1]
        # A comma may end the list, as in Python; two in a row leave a gap, which is no number.
        parts = re.split(r"\s*,\s*|\s+", inside.strip().removesuffix(",").strip())
        if parts == [""]:
            raise ValueError("no number; expected at least one, such as 1, 2, 3")
        if len(parts) > most:
            raise ValueError(f"{len(parts)} numbers; expected at most {most}")
        found = []
        for place, part in enumerate(parts):
            try:
                found.append(one(part))
            except ValueError as error:
                shown = part if len(part) <= 24 else f"{part[:24]}…"
                raise ValueError(f"number {place + 1}, {shown!r}: {error}") from None
        return found

    return read


def _tensor(text: str) -> Tensor:
    if not text.strip():
        raise ValueError("nothing typed; expected numbers as nested lists, such as [1, 2, 3]")
    return parse_tensor(text, max_elements=MOST_SHOWN, max_depth=MOST_AXES, max_length=LONGEST)


TypedTensor = Annotated[Tensor, Text(_tensor, LONGEST)]
"""A tensor as nested lists, at most `MOST_SHOWN` cells."""
OptionalTensor = Annotated[
    Tensor | None, Text(lambda text: _tensor(text) if text.strip() else None, LONGEST)
]
"""The same, or nothing."""


def _index(text: str) -> tuple[int, ...] | None:
    if not text.strip():
        return None
    if not re.fullmatch(r"\s*[0-9]{1,4}\s*(,\s*[0-9]{1,4}\s*){0,7}", text):
        raise ValueError("expected whole numbers from 0, separated by commas, such as 0,1")
    return tuple(int(part) for part in text.split(","))


CellIndex = Annotated[tuple[int, ...] | None, Text(_index)]
"""An index such as ``0,1``; nothing means the first cell."""


def chosen_cell(
    cells: Sequence[C], index: tuple[int, ...] | None, shape: tuple[int, ...]
) -> C | None:
    """The cell of ``shape`` at ``index``, by default the first; None where there are no cells.

    Errors: `FieldError` for an index that is none of ``shape``'s.

    >>> chosen_cell("abcdef", (1, 0), (2, 3)), chosen_cell("ab", None, (2,))
    ('d', 'a')
    """
    if 0 in shape:
        return None
    if index is None:
        return cells[0]
    if len(index) != len(shape) and not (shape == () and index == (0,)):
        raise FieldError("cell", f"{len(index)} numbers; the result has {len(shape)} axes")
    place = 0
    for at, size in zip(index, shape, strict=False):
        if at >= size:
            raise FieldError("cell", f"{at} is out of range; the result has shape {shape}")
        place = place * size + at
    return cells[place]
