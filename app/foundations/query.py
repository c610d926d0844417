"""From a query string to a question of the engine: strictly read, the typed text kept.

A field's reader turns text into a value and raises ``ValueError`` (the engine's `LiteralError`,
`ShapeError`, `LimitError` are ones) with a message that says what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.basis.refusals import field_error

__all__ = [
    "Field", "FieldError", "Question", "Reading", "Refused", "choice", "number", "numbers",
    "switch", "whole",
]  # fmt: skip

MOST_PARAMETERS = 100
MOST_CHARACTERS = 200  # of one value, where a field does not say otherwise
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


class FieldError(ValueError):
    """A refusal that belongs to one field, found only when several values met."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(message)


class Refused(Exception):
    """A query that is not answered; ``errors`` each have field, message and value."""

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{e['field']}: {e['message']}" for e in errors))


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter: how it is called, read and shown."""

    name: str
    label: str
    default: str
    read: Callable[[str], Any]
    help: str = ""
    longest: int = MOST_CHARACTERS
    """Most characters of its text."""
    options: tuple[tuple[str, str], ...] = ()
    """Name and text of everything that may be chosen; empty for free text."""
    slider: tuple[float, float, float] | None = None
    """Lowest, highest value and step of a slider; the value itself may lie outside."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A query as read: what was typed, what it means, and what is wrong with it."""

    fields: tuple[Field, ...]
    typed: Mapping[str, str]
    """By name, the default where the query names none."""
    values: Mapping[str, Any]
    """Of every field that could be read."""
    errors: tuple[Mapping[str, Any], ...]

    def query(self, **changes: str) -> str:
        """The query string of this state, shortened by the defaults, with some values changed."""
        text = {**self.typed, **changes}
        return urlencode({f.name: text[f.name] for f in self.fields if text[f.name] != f.default})


@dataclass(frozen=True, slots=True)
class Question:
    """Something that Foundations can be asked, by a page's form or by the JSON API.

    ``answer`` receives the values by name and returns what the JSON API sends, via ``to_dict``.
    It may raise ``ValueError``, which belongs to the whole form, or `FieldError`.
    """

    name: str
    """The last part of its address, ``/api/v1/foundations/<name>``."""
    summary: str
    help: str
    fields: tuple[Field, ...]
    answer: Callable[..., Any]
    example: Mapping[str, Any] = field(default_factory=dict)
    """The beginning of an answer, for the API's documentation."""
    stoppable: bool = False
    """Whether ``answer`` takes long, and therefore ``should_stop``."""

    def read(self, query_string: bytes) -> Reading:
        """The query's values, and an error for each that is unknown, repeated or unreadable.

        >>> from layerscope.app.foundations.neuron import NEURON
        >>> NEURON.read(b"bias=two").errors[0]["message"]
        'expected a number, such as 0.5'
        """
        pairs, errors = _pairs(query_string)
        known = {f.name: f for f in self.fields}
        typed = {f.name: f.default for f in self.fields}
        seen: set[str] = set()
        for name, text in pairs:
            if name not in known:
                message = f"unknown; expected one of: {', '.join(known) or 'nothing'}"
                errors.append(field_error(name, message, text))
            elif name in seen:
                errors.append(field_error(name, "given more than once; expected it once", text))
            else:
                typed[name] = text
                seen.add(name)
        values: dict[str, Any] = {}
        for f in self.fields:
            try:
                values[f.name] = _value(f, typed[f.name])
            except ValueError as error:
                errors.append(field_error(f.name, str(error), typed[f.name]))
        return Reading(self.fields, typed, values, tuple(errors))

    def ask(self, reading: Reading, should_stop: ShouldStop = never) -> Any:
        """The answer to a query.

        Errors: `Refused` with everything that is wrong with it; `Stopped` from one that is
        ``stoppable``, soon after ``should_stop()`` turns true.
        """
        if reading.errors:
            raise Refused(reading.errors)
        try:
            if self.stoppable:
                return self.answer(**reading.values, should_stop=should_stop)
            return self.answer(**reading.values)
        except FieldError as error:
            text = reading.typed.get(error.field)
            raise Refused([field_error(error.field, error.message, text)]) from None
        except ValueError as error:
            raise Refused([field_error("query", str(error))]) from None


def _pairs(query_string: bytes) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    parts = query_string.decode("latin-1").split("&")
    pairs = parse_qsl("&".join(parts[:MOST_PARAMETERS]), keep_blank_values=True)
    # Half a surrogate pair or a broken UTF-8 sequence must not reach an answer.
    pairs = [(_clean(name), _clean(text)) for name, text in pairs]
    if len(parts) > MOST_PARAMETERS:
        message = f"more than {MOST_PARAMETERS} parameters; expected each at most once"
        return pairs, [field_error("query", message)]
    return pairs, []


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _value(field: Field, text: str) -> Any:
    if len(text) > field.longest:
        raise ValueError(f"{len(text)} characters; expected at most {field.longest}")
    return field.read(text)


def choice(names: Sequence[str]) -> Callable[[str], str]:
    """A reader of one of these ``names``."""
    return partial(_choice, names=tuple(names))


def _choice(text: str, *, names: tuple[str, ...]) -> str:
    if text not in names:
        raise ValueError(f"expected one of: {', '.join(names)}")
    return text


def switch(text: str) -> bool:
    """A reader of true and false.

    >>> switch("on"), switch("false")
    (True, False)
    """
    if text.lower() not in {"true", "on", "1", "false", "off", "0", ""}:
        raise ValueError("expected true or false")
    return text.lower() in {"true", "on", "1"}


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``low`` to ``high``."""
    return partial(_whole, low=low, high=high)


def _whole(text: str, *, low: int, high: int) -> int:
    text = text.strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text) or not low <= int(text) <= high:
        raise ValueError(f"expected a whole number from {low} to {high}")
    return int(text)


def number(low: float, high: float) -> Callable[[str], float]:
    """A reader of finite numbers from ``low`` to ``high``."""
    return partial(_number, low=low, high=high)


def _number(text: str, *, low: float, high: float) -> float:
    text = text.strip().replace("−", "-")
    if not NUMBER.fullmatch(text):
        raise ValueError("expected a number, such as 0.5")
    value = float(text)
    if not low <= value <= high or not math.isfinite(value):
        raise ValueError(f"{text} is out of range; expected a number from {low:g} to {high:g}")
    return value


def numbers(low: float, high: float, most: int) -> Callable[[str], list[float]]:
    """A reader of one to ``most`` numbers, separated by commas or spaces, brackets allowed."""
    return partial(_numbers, low=low, high=high, most=most)


def _numbers(text: str, *, low: float, high: float, most: int) -> list[float]:
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
            found.append(_number(part, low=low, high=high))
        except ValueError as error:
            shown = part if len(part) <= 24 else f"{part[:24]}…"
            raise ValueError(f"number {place + 1}, {shown!r}: {error}") from None
    return found
