"""What anybody hands over, as values that every store and every reader can hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["LONGEST_NAME", "plain", "text"]

LONGEST_NAME = 200
"""Characters of a run's name or tag."""
LONGEST_TEXT = 20_000
MOST_ENTRIES = 1000
DEEPEST = 16
LARGEST = 2**63 - 1


def text(value: object, longest: int = LONGEST_NAME) -> str:
    r"""``value`` as text that UTF-8 and PostgreSQL can hold, cut where it is longer.

    >>> text("a\0b\ud800"), text("x" * 300)[-1]
    ('a�b?', '…')
    """
    found = str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    found = found.encode("utf-8", "replace").decode()
    return found if len(found) <= longest else found[: longest - 1] + "…"


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as MessagePack holds it: numbers, text, bytes, lists and mappings by text.

    Whatever knows itself as a ``dict`` (``to_dict``, ``_asdict``, ``vars``) becomes one, an array
    or tensor of one entry its number, and everything else its text; NaN and infinities stay.

    >>> from pathlib import Path
    >>> plain({"lr": 0.1, 3: (1, None), "where": Path("a")})
    {'lr': 0.1, '3': [1, None], 'where': 'a'}
    """
    if value is None or (isinstance(value, bool | float) and type(value) in (bool, float)):
        return value
    if isinstance(value, str):
        return text(value, LONGEST_TEXT)
    if isinstance(value, int):
        return int(value) if -LARGEST <= value <= LARGEST else hex(value)
    if isinstance(value, bytes):
        return value[:LONGEST_TEXT]
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:MOST_ENTRIES]
        return {text(k): plain(v, depth + 1) for k, v in pairs}
    if isinstance(value, list | tuple | set | frozenset | range):
        return _listed(value, depth)
    return _converted(value, depth)


def _listed(values: Iterable[Any], depth: int) -> list[Any]:
    kept = []
    for number, value in enumerate(values):
        if number == MOST_ENTRIES:
            kept.append("…")
            break
        kept.append(plain(value, depth + 1))
    return kept


def _converted(value: Any, depth: int) -> Any:
    """Of a class that is not Python's own. Whatever it does, it must not end the training."""
    try:
        for known in ("to_dict", "_asdict"):
            if callable(convert := getattr(value, known, None)):
                return plain(convert(), depth + 1)
        if callable(getattr(value, "item", None)) and getattr(value, "size", 1) == 1:
            number = value.item()
            if isinstance(number, bool | int | float):
                return plain(number, depth + 1)
        if type(value).__module__ in ("argparse", "types"):
            return plain(vars(value), depth + 1)
        if isinstance(value, float):
            return float(value)
        return text(value, LONGEST_TEXT)
    except Exception as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"
