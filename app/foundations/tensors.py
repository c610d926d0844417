"""Readers of tensors and indices as they are typed; nothing is evaluated."""

from __future__ import annotations

import re

from torch import Tensor

from layerscope.engine.foundations.tensors.literals import parse_tensor

__all__ = ["LONGEST", "MOST_SHOWN", "index_of", "optional_tensor", "place_of", "tensor"]

MOST_SHOWN = 256
"""Cells of one tensor on a page: each is an element of the document that can be looked at."""
LONGEST = 4000
"""Characters of a tensor's text."""
MOST_AXES = 5


def tensor(text: str) -> Tensor:
    """A tensor as nested lists, at most `MOST_SHOWN` cells."""
    if not text.strip():
        raise ValueError("nothing typed; expected numbers as nested lists, such as [1, 2, 3]")
    return parse_tensor(text, max_elements=MOST_SHOWN, max_depth=MOST_AXES, max_length=LONGEST)


def optional_tensor(text: str) -> Tensor | None:
    """The same, or nothing."""
    return tensor(text) if text.strip() else None


def index_of(text: str) -> tuple[int, ...] | None:
    """An index such as ``0,1``; nothing means the first cell.

    >>> index_of("0, 1"), index_of("") is None
    ((0, 1), True)
    """
    if not text.strip():
        return None
    if not re.fullmatch(r"\s*[0-9]{1,4}\s*(,\s*[0-9]{1,4}\s*){0,7}", text):
        raise ValueError("expected whole numbers from 0, separated by commas, such as 0,1")
    return tuple(int(part) for part in text.split(","))


def place_of(index: tuple[int, ...] | None, shape: tuple[int, ...]) -> int | None:
    """The cell's place in row-major order; None where there are no cells.

    Errors: ``ValueError`` for an index that is none of ``shape``'s.
    """
    if 0 in shape:
        return None
    if index is None:
        return 0
    if len(index) != len(shape) and not (shape == () and index == (0,)):
        raise ValueError(f"{len(index)} numbers; the result has {len(shape)} axes")
    place = 0
    for at, size in zip(index, shape, strict=False):
        if at >= size:
            raise ValueError(f"{at} is out of range; the result has shape {shape}")
        place = place * size + at
    return place
