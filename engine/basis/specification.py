"""A specification: one model of described, bounded parameters is the form, the query string, the
JSON body, the command line's flags and the schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from layerscope.engine.basis.refusals import FieldError, InvalidParameters, field_error, refusal

__all__ = [
    "BOOLEANS", "Options", "Presentation", "Specification", "Text", "bounds", "parameter",
    "presentation", "takes_fractions", "text_of", "written",
]  # fmt: skip

MOST_PARAMETERS = 100

Options = Mapping[str, Mapping[str, str]]
"""What a parameter may be: name -> what is told of it (``formula``, ``source``, ``help``, or a
``text`` to be shown in the name's place)."""


@dataclass(frozen=True)
class Text:
    """Annotates a parameter that is written as text of its own kind: a tensor, a shape, numbers."""

    read: Callable[[str], Any]
    """Makes the value; its ``ValueError`` says what was expected."""
    longest: int = 200
    """Most characters."""
    expected: str = "expected text"
    """What it takes, as a sentence's end."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._value)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Any) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.longest}

    def _value(self, text: object) -> Any:
        if not isinstance(text, str):
            raise ValueError("expected text")
        if len(text) > self.longest:
            raise ValueError(f"{len(text)} characters; expected at most {self.longest}")
        return self.read(text)


@dataclass(frozen=True)
class Presentation:
    """What a form shows of a parameter beside its schema."""

    unit: str = ""
    """What it counts."""
    options: Callable[[], Options] | None = None
    """Asked anew every time, so that what is registered later can be chosen too."""
    slider: tuple[float, float] | None = None
    """Lowest and highest value of one; the value itself may lie outside."""
    step: float = 1
    log: bool = False
    """Whether the slider is logarithmic."""
    rare: bool = False
    """Whether a form may keep it behind a word until it is asked for."""


def parameter(
    default: Any,
    title: str,
    help: str,  # noqa: A002 - what a form calls it
    *,
    unit: str = "",
    options: Callable[[], Options] | None = None,
    slider: tuple[float, float] | None = None,
    step: float = 1,
    log: bool = False,
    rare: bool = False,
    **bounds: Any,
) -> Any:
    """A field of a `Specification`, with what a form shows of it: see `Presentation`.

    The ``default`` of a `Text` is as it is typed; ``bounds`` are pydantic's ``ge`` and ``le``.
    """
    field: FieldInfo = Field(
        default, title=title, description=help, validate_default=True, **bounds
    )
    field.metadata.append(Presentation(unit, options, slider, step, log, rare))
    return field


def takes_fractions(field: FieldInfo) -> bool:
    """Whether a number of this parameter need not be whole."""
    return float in (field.annotation, *get_args(field.annotation))


class Specification(BaseModel):
    """A frozen set of parameters; a subclass has fields made by `parameter`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        if isinstance(value, str) and info.context is _TYPED:
            return cls._parse(name, value)
        if isinstance(value, float) and value.is_integer():
            kind = cls.model_fields[name].annotation
            # JSON has one kind of number, and JSON Schema calls 5.0 an integer.
            return int(value) if int in (kind, *get_args(kind)) else value
        return value

    @field_validator("*")
    @classmethod
    def _registered(cls, value: Any, info: ValidationInfo) -> Any:
        name = str(info.field_name)
        known = cls.options(name)
        if known and value not in known:
            raise ValueError(cls.expectation(name))
        return value

    @classmethod
    def from_json(cls, body: object) -> Self:
        """The specification of a decoded JSON object; types must be JSON's own.

        Errors: `InvalidParameters` with one entry per bad parameter.
        """
        if not isinstance(body, Mapping):
            message = "expected a JSON object of parameters"
            raise InvalidParameters([field_error("body", message, body)])
        return cls._validated(body, "body")

    @classmethod
    def from_strings(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """The specification of a query string's, a form's or a command line's name-value pairs.

        Errors: `InvalidParameters` with one entry per bad, unknown or repeated parameter.
        """
        typed: dict[str, str] = {}
        errors = []
        for count, (name, text) in enumerate(pairs):
            if count == MOST_PARAMETERS:
                message = f"more than {MOST_PARAMETERS} parameters; expected each at most once"
                raise InvalidParameters([field_error("query", message)])
            if name in typed:
                errors.append(field_error(name, "given more than once; expected it once", text))
            typed.setdefault(name, text)
        try:
            made = cls._validated(typed, "query", _TYPED)
        except InvalidParameters as invalid:
            raise InvalidParameters([*errors, *invalid.errors]) from None
        if errors:
            raise InvalidParameters(errors)
        return made

    def changed(self, update: Mapping[str, Any]) -> Self:
        """The same with other values, each of which its parameter takes: that is not looked at
        again, only whether they go together.

        Errors: `InvalidParameters` naming the one that does not.

        >>> from layerscope.engine.experiment import Experiment
        >>> Experiment().changed({"depth": 3}).depth
        3
        """
        made = self.model_copy(update=dict(update))
        try:
            made._go_together()
        except FieldError as error:
            raise refusal(error.field, error.message, getattr(made, error.field)) from None
        return made

    def _go_together(self) -> None:
        """Whether the values, each of which its parameter takes, go together; for subclasses.

        Errors: ``FieldError``.
        """

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._go_together()
        return self

    def to_dict(self) -> dict[str, Any]:
        """Every parameter by its name."""
        return self.model_dump()

    def to_query(self) -> dict[str, str]:
        """The parameters that differ from their default, as canonical text."""
        return {
            name: text_of(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.default
        }

    @classmethod
    def expectation(cls, name: str) -> str:
        """What the parameter ``name`` accepts, as a sentence's end.

        >>> from layerscope.engine.experiment import Experiment
        >>> Experiment.expectation("depth")
        'expected a whole number from 1 to 1000'
        """
        field = cls.model_fields[name]
        if known := cls.options(name):
            return "expected one of: " + ", ".join(known)
        if text := written(field):
            return text.expected
        if field.annotation is bool:
            return "expected true or false"
        whole = "a number" if takes_fractions(field) else "a whole number"
        low, high = bounds(field)
        return f"expected {whole} from {low:g} to {high}"

    @classmethod
    def options(cls, name: str) -> Options:
        """What the parameter ``name`` may be, as registered now; empty for free ones."""
        choose = presentation(cls.model_fields[name]).options
        return choose() if choose else {}

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON schema: names, types, bounds, defaults, options as registered now."""
        schema = cls.model_json_schema()
        for name, entry in schema["properties"].items():
            if unit := presentation(cls.model_fields[name]).unit:
                entry["description"] += f" Unit: {unit}."
            if known := cls.options(name):
                entry["enum"] = list(known)
        return schema

    @classmethod
    def _parse(cls, name: str, text: str) -> Any:
        """The value that ``text`` stands for."""
        field = cls.model_fields[name]
        kind = field.annotation
        if kind is str or written(field):
            return text
        if type(None) in get_args(kind) and text == "":
            return None
        if kind is bool:
            if text.lower() in BOOLEANS:
                return BOOLEANS[text.lower()]
        elif len(text) <= 40:
            pattern, number = (_DECIMAL, float) if takes_fractions(field) else (_WHOLE, int)
            if pattern.fullmatch(text.strip()):
                return number(text)
        raise ValueError(cls.expectation(name))

    @classmethod
    def _validated(cls, given: Mapping[str, Any], whole: str, context: object = None) -> Self:
        """The model of ``given``; an error of no one parameter is that of ``whole``."""
        try:
            return cls.model_validate(dict(given), strict=True, context=context)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise InvalidParameters([cls._error(item, given, whole) for item in found]) from None
        except UnicodeEncodeError as error:  # half a surrogate pair, which JSON may hold
            message = "expected text that UTF-8 can hold"
            raise InvalidParameters([field_error(whole, message, error.object)]) from None

    @classmethod
    def _error(cls, item: ErrorDetails, given: Mapping[str, Any], whole: str) -> dict[str, Any]:
        """One of pydantic's errors in our words."""
        cause = item.get("ctx", {}).get("error")
        name = getattr(cause, "field", None) or str(item["loc"][0] if item["loc"] else whole)
        if isinstance(cause, ValueError):
            message = str(cause)
        elif name in cls.model_fields:
            message = cls.expectation(name)
        else:
            known = ", ".join(cls.model_fields) or "nothing"
            message = f"unknown parameter; expected one of: {known}"
        return field_error(name, message, given.get(name))


_TYPED = object()
"""The context of a validation whose values are text."""
_WHOLE = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
"""What a query may say for them, in small letters."""


def presentation(field: FieldInfo) -> Presentation:
    """What a form shows of ``field``."""
    return next((m for m in field.metadata if isinstance(m, Presentation)), Presentation())


def written(field: FieldInfo) -> Text | None:
    """How a parameter is read that is written as text of its own kind; None for all others."""
    return next((m for m in field.metadata if isinstance(m, Text)), None)


def bounds(field: FieldInfo) -> tuple[float, float]:
    """Lowest and highest value of a number; infinite where there is none."""
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), -math.inf)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), math.inf)
    return low, high


def text_of(value: object) -> str:
    """A value as a person would type it: 1, 0.5, true; nothing for None.

    >>> text_of(True), text_of(None), text_of(0.1)
    ('true', '', '0.1')
    """
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
