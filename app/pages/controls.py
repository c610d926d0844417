"""The form of an experiment, generated from its fields: label, bounds, unit, options, help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layerscope.engine.experiment.specification import Experiment, options

__all__ = ["Control", "Option", "controls"]


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of a select."""

    name: str
    formula: str
    source: str
    help: str


@dataclass(frozen=True, slots=True)
class Control:
    """What a macro of ``macros/controls.html`` needs to draw one parameter."""

    name: str
    kind: str
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
    marks: tuple[str, ...]
    options: tuple[Option, ...]
    formula: str

    @property
    def chosen(self) -> Option:
        """The selected option; an empty one where the value is none of them."""
        return next((o for o in self.options if o.name == self.value), Option("", "", "", ""))

    @property
    def unknown(self) -> bool:
        """Whether the value is none of the options, and must be shown all the same."""
        return self.value not in {o.name for o in self.options}


def controls(typed: Mapping[str, str], errors: Mapping[str, str]) -> list[Control]:
    """One control a field, in the order of the fields, which is that in which one plays.

    Args:
        typed: what stands in the query, as it was typed; a missing name has its default.
        errors: messages by field.

    >>> [c.value for c in controls({"depth": "many"}, {"depth": "expected a number"})][:2]
    ['1', 'many']
    """
    defaults = {name: _text(field.default) for name, field in Experiment.model_fields.items()}
    values = {**defaults, **{name: text for name, text in typed.items() if name in defaults}}
    return [
        _control(name, values, defaults[name], errors.get(name, ""))
        for name in Experiment.model_fields
    ]


def _control(name: str, values: Mapping[str, str], default: str, error: str) -> Control:
    field = Experiment.model_fields[name]
    extra: dict[str, Any] = (
        field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    )
    slider = extra.get("slider")
    bounds = {k: getattr(m, k) for m in field.metadata for k in ("ge", "le") if hasattr(m, k)}
    return Control(
        name=name,
        kind=extra.get("control", "number"),
        label=field.title or name,
        unit=extra.get("unit", ""),
        help=field.description or "",
        value=values[name],
        default=default,
        error=error,
        decimal=field.annotation is float,
        low=_text(bounds.get("ge", "")),
        high=_text(bounds.get("le", "")),
        slider=(slider[0], slider[1]) if slider else None,
        marks=_marks(extra.get("control", ""), slider),
        options=tuple(Option(n, **text) for n, text in (options(name) or {}).items()),
        formula=_weight(values) if name == "init_scale" else "",
    )


def _marks(kind: str, slider: list[float] | None) -> tuple[str, ...]:
    if slider is None:
        return ()
    low, high = slider
    if kind == "log":
        return ("0.001", "0.01", "0.1", "1", "10")
    return (f"{low:g}", f"{(low + high) // 2:g}", f"{high:g}")


def _weight(values: Mapping[str, str]) -> str:
    """How the weights of a hidden layer are drawn: ``w = 1 · √(2/100) · randn(100, 100)``."""
    schemes = options("init") or {}
    formula = schemes.get(values["init"], {}).get("formula", values["init"])
    formula = formula.replace("n_in", values["width"]).replace("n_out", values["width"])
    return f"w = {values['init_scale']} · {formula}"


def _text(value: object) -> str:
    """A default or bound as a person would type it: 1, 0.5, true; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.17g}" if isinstance(value, float) else str(value)
