"""The controls of a specification, from its fields: label, bounds, unit, options, help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic.fields import FieldInfo

from layerscope.app.forms.form import default_text
from layerscope.engine.basis.specification import (
    Presentation,
    Specification,
    bounds,
    presentation,
    takes_fractions,
    written,
)

__all__ = ["Control", "Option", "controls"]


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a select."""

    name: str
    formula: str = ""
    source: str = ""
    help: str = ""
    text: str = ""
    """What is shown in the name's place."""
    features: str = ""
    """How many input features come with it, where it decides."""


@dataclass(frozen=True, slots=True)
class Control:
    """What the macros of ``macros/controls.html`` and ``macros/foundations.html`` draw."""

    name: str
    kind: str
    """``select``, ``switch``, ``log`` or ``range`` (a slider), ``number``, ``text``."""
    label: str
    unit: str
    help: str
    value: str
    default: str
    error: str
    decimal: bool
    low: str
    high: str
    slider: tuple[float, float] | None
    step: float
    marks: tuple[str, ...]
    options: tuple[Option, ...]
    rare: bool
    """Whether it may stay behind a word until it is asked for."""
    formula: str = ""

    @property
    def chosen(self) -> Option:
        """The selected option; an empty one where the value is none of them."""
        return next((o for o in self.options if o.name == self.value), Option(""))

    @property
    def unknown(self) -> bool:
        """Whether the value is none of the options, and must be shown all the same."""
        return self.value not in {o.name for o in self.options}


def controls(
    model: type[Specification], typed: Mapping[str, str], errors: Mapping[str, str]
) -> dict[str, Control]:
    """A control for every field by its name, in the order of the fields.

    ``typed`` is what stands in the query; a missing name has its default.

    >>> from layerscope.engine.experiment import Experiment
    >>> shown = controls(Experiment, {"depth": "many"}, {"depth": "expected a number"})
    >>> shown["depth"].value, shown["init_scale"].value
    ('many', '1')
    """
    found = {}
    for name, field in model.model_fields.items():
        shown, default = presentation(field), default_text(field)
        low, high = bounds(field)
        found[name] = Control(
            name=name,
            kind=_kind(field, shown),
            label=field.title or name,
            unit=shown.unit,
            help=field.description or "",
            value=typed.get(name, default),
            default=default,
            error=errors.get(name, ""),
            decimal=takes_fractions(field),
            low=str(low),
            high=str(high),
            slider=shown.slider,
            step=shown.step,
            marks=_marks(shown),
            rare=shown.rare,
            options=tuple(Option(n, **text) for n, text in model.options(name).items()),
        )
    return found


def _kind(field: FieldInfo, shown: Presentation) -> str:
    if shown.options:
        return "select"
    if field.annotation is bool:
        return "switch"
    if written(field):
        return "text"
    return ("log" if shown.log else "range") if shown.slider else "number"


def _marks(shown: Presentation) -> tuple[str, ...]:
    if shown.slider is None:
        return ()
    low, high = shown.slider
    if shown.log:
        return ("0.001", "0.01", "0.1", "1", "10")
    return (f"{low:g}", f"{(low + high) // 2:g}", f"{high:g}")
