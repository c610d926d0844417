"""A specification bound to a query: what was typed, what it means, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from pydantic.fields import FieldInfo

from layerscope.engine.basis.refusals import InvalidParameters, field_error
from layerscope.engine.basis.specification import Specification, text_of

__all__ = ["Form", "default_text"]

S = TypeVar("S", bound=Specification)


@dataclass(frozen=True, slots=True)
class Form(Generic[S]):
    """A query as read: a page shows the typed text again, with each message beside its control."""

    model: type[S]
    typed: Mapping[str, str]
    """By name, the default where the query names none."""
    value: S | None
    """None where something is wrong."""
    errors: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, model: type[S], pairs: Iterable[tuple[str, str]]) -> Form[S]:
        """The form of a query's name-value pairs, such as ``request.query_params.multi_items()``.

        >>> from layerscope.engine.experiment import Experiment
        >>> Form.read(Experiment, [("depth", "many")]).errors[0]["message"]
        'expected a whole number from 1 to 1000'
        """
        pairs = list(pairs)
        typed = {name: default_text(field) for name, field in model.model_fields.items()}
        typed |= {name: text for name, text in pairs if name in typed}
        try:
            return cls(model, typed, model.from_strings(pairs))
        except InvalidParameters as invalid:
            return cls(model, typed, None, tuple(invalid.errors))

    def valid(self) -> S:
        """The value. Errors: `InvalidParameters` with everything that is wrong."""
        if self.value is None:
            raise InvalidParameters(self.errors)
        return self.value

    def refused(self, message: str, field: str = "") -> Form[S]:
        """The same, refused for a reason that was found later; by default of no one field."""
        return replace(self, errors=(*self.errors, field_error(field, message)))

    @property
    def messages(self) -> dict[str, str]:
        """The first message about each field."""
        return {e["field"]: e["message"] for e in reversed(self.errors)}

    @property
    def refusal(self) -> str:
        """What is wrong with no field in particular."""
        general = [
            e["message"] if e["field"] in ("", "query") else f"{e['field'][:40]}: {e['message']}"
            for e in self.errors
            if e["field"] not in self.model.model_fields
        ]
        return "; ".join(general[:3])

    def query(self, **changes: str) -> str:
        """The query string of this state, shortened by the defaults, with some values changed."""
        text = {**self.typed, **changes}
        return urlencode(
            {
                name: text[name]
                for name, field in self.model.model_fields.items()
                if text[name] != default_text(field)
            }
        )


def default_text(field: FieldInfo) -> str:
    """A field's default as a person would type it: 1, 0.5, true; nothing for None."""
    text = text_of(field.default)
    return text.removesuffix(".0") if isinstance(field.default, float) else text
