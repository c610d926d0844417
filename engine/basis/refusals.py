"""How parameters are refused: which, what was expected, what came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["FieldError", "InvalidParameters", "field_error", "refusal"]

LONGEST_VALUE = 200
"""Characters of a refused value that an error repeats."""


class FieldError(ValueError):
    """A refusal that belongs to one parameter, found only when several values met."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(message)


class InvalidParameters(ValueError):
    """Parameters that cannot be accepted: ``errors`` has what `field_error` tells of each."""

    def __init__(self, errors: Iterable[Mapping[str, Any]]) -> None:
        self.errors = [dict(error) for error in errors]
        super().__init__("; ".join(f"{e['field']}: {e['message']}" for e in self.errors))


def field_error(field: str, message: str, value: object = None) -> dict[str, Any]:
    """One entry of ``errors``; a long value is cut, one that JSON can't hold becomes its text.

    >>> field_error("depth", "expected at most 1000", 5000)
    {'field': 'depth', 'message': 'expected at most 1000', 'value': 5000}
    """
    if not (value is None or isinstance(value, bool | str)):
        # JSON holds integers of 64 bits and finite numbers; everything else is told as text.
        fits = isinstance(value, int) and -(2**63) <= value < 2**63
        finite = isinstance(value, float) and math.isfinite(value)
        value = value if fits or finite else _told(value)
    if isinstance(value, str):
        # Half a surrogate pair can't be written as UTF-8.
        value = value.encode("utf-8", "replace").decode()
        if len(value) > LONGEST_VALUE:
            value = f"{value[:LONGEST_VALUE]}… ({len(value)} characters)"
    return {"field": field[:100].encode("utf-8", "replace").decode(), "message": message,
            "value": value}  # fmt: skip


def refusal(field: str, message: str, value: object = None) -> InvalidParameters:
    """The refusal of one parameter.

    >>> str(refusal("depth", "expected at most 1000", 5000))
    'depth: expected at most 1000'
    """
    return InvalidParameters([field_error(field, message, value)])


def _told(value: object) -> str:
    if isinstance(value, int):
        return hex(value)
    try:
        return repr(value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
