"""A gain for each layer: numbers as they are typed, and the canonical text that stands for them."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["EXPECTED", "LONGEST", "gains_of", "read_gains"]

MOST = 100.0
LONGEST = 2000
"""Characters of the text."""
EXPECTED = f"expected numbers from 0 to {MOST:g}, separated by commas"
NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def read_gains(text: str) -> str:
    """The canonical text of what was typed; empty for none.

    Errors: ``ValueError`` naming what was expected and the first part that is something else.

    >>> read_gains(" 30, 1.0 "), read_gains("1e-3,.5"), read_gains("  ")
    ('30,1', '0.001,0.5', '')
    """
    if not text.strip():
        return ""
    parts = [part.strip() for part in text.split(",")]
    for place, part in enumerate(parts, 1):
        if not NUMBER.fullmatch(part) or not 0 <= float(part) <= MOST:
            told = f"{part[:40]!r}, number {place} of {len(parts)}," if part else f"number {place}"
            raise ValueError(f"{EXPECTED}; {told} is {'none of them' if part else 'missing'}")
    return ",".join(repr(float(part)).removesuffix(".0") for part in parts)


@lru_cache(maxsize=256)
def gains_of(text: str) -> tuple[float, ...]:
    """The numbers of a canonical text.

    >>> gains_of("30,1"), gains_of("")
    ((30.0, 1.0), ())
    """
    return tuple(map(float, text.split(","))) if text else ()
