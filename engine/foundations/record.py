"""How results of this package become JSON.

One convention holds for all of them:

- a finite number stands as itself; a NaN or an infinity is ``null``, and its text says which
  (``"nan"``, ``"inf"``, ``"-inf"``);
- a record's float ``x`` has a twin ``x_text``, as short as six significant digits allow; a time in
  seconds has its unit there;
- a tensor's element carries ``value`` and ``text`` of the same meaning;
- a series (a list of floats, for a curve) holds ``null`` where it is not finite, without text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from layerscope.engine.basis.text import time_text

__all__ = ["Record", "join_terms", "json_number", "plain", "shape_text", "value_text"]

SHOWN_TERMS = 12
"""Terms written out in a text of arithmetic."""


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as the notes write it.

    >>> shape_text((3, 1)), shape_text((3,)), shape_text(())
    ('(3, 1)', '(3,)', '()')
    """
    return str(tuple(shape))


def json_number(number: float) -> float | None:
    """The number itself, or None where it is NaN or infinite; an int or a bool stays one."""
    return number if math.isfinite(number) else None


def value_text(number: float) -> str:
    """The number as a person reads it: six significant digits, ``True``, ``nan``, ``-inf``.

    >>> value_text(12.0), value_text(1 / 3), value_text(True), value_text(float("-inf"))
    ('12', '0.333333', 'True', '-inf')
    """
    return str(number) if isinstance(number, int) else f"{number:.6g}"  # a bool is an int


def join_terms(texts: Sequence[str], infix: str) -> str:
    """The terms of a sum, or of another fold; a long one is cut short before its last term.

    >>> join_terms(["1", "2", "3"], " + ")
    '1 + 2 + 3'
    """
    if len(texts) > SHOWN_TERMS:
        texts = [*texts[: SHOWN_TERMS - 1], "…", texts[-1]]
    return infix.join(texts)


def plain(value: Any) -> Any:
    """``value`` from dicts, lists, strings, ints, bools, None and finite floats alone."""
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return json_number(value) if isinstance(value, float) else value


class Record:
    """A frozen dataclass that becomes JSON by the convention of this module.

    A field with ``metadata={"json": False}`` is left out.
    """

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name; beside a float ``x`` its text, ``x_text``."""
        result: dict[str, Any] = {}
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            if not field.metadata.get("json", True):
                continue
            value = getattr(self, field.name)
            result[field.name] = plain(value)
            text = self.text_of(field.name, value)
            if text is not None:
                result[f"{field.name}_text"] = text
        return result

    def text_of(self, name: str, value: Any) -> str | None:
        """What stands beside the field ``name`` for a person to read; None where nothing does."""
        if not isinstance(value, float):
            return None
        return time_text(value) if name.endswith("seconds") else value_text(value)
