"""A map's address: both axes, outcome and seeds, beside the parameters of what is in each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from layerscope.app.forms import Form
from layerscope.engine.basis.refusals import InvalidParameters, field_error
from layerscope.engine.basis.specification import Options, Specification, parameter, text_of
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import (
    MOST_VALUES,
    RECORDING,
    SCALES,
    Axis,
    is_number,
    number_of,
    parameters,
    value_of,
)
from layerscope.engine.maps.outcomes import OUTCOMES
from layerscope.engine.maps.plane import MOST_SEEDS, Plane
from layerscope.engine.training import Training

__all__ = ["Axes", "MapQuery", "query_of"]

Pairs = Sequence[tuple[str, str]]


def _parameters() -> Options:
    known = parameters()
    titles = Counter(str(model.model_fields[name].title) for name, model in known.items())

    def text(name: str, model: type[Specification]) -> str:
        title = str(model.model_fields[name].title)
        return f"{title} of the training" if titles[title] > 1 and model is Training else title

    return {
        name: {"text": text(name, model), "help": str(model.model_fields[name].description),
               "formula": "", "source": ""}
        for name, model in known.items()
    }  # fmt: skip


def _scales() -> Options:
    return {n: {"help": s.help, "formula": "", "source": ""} for n, s in SCALES.items()}


def _outcomes() -> Options:
    return {
        n: {"text": o.title, "formula": o.formula, "source": o.source, "help": o.help}
        for n, o in OUTCOMES.items()
    }


def _axis(default: str) -> Any:
    return parameter(default, "Parameter", "What changes along this axis.", options=_parameters)


def _end(default: str, title: str) -> Any:
    return parameter(default, title, "A number; empty where values are listed.")


def _steps() -> Any:
    return parameter(15, "Steps", "So many values.", ge=1, le=MOST_VALUES)


def _scale(default: str) -> Any:
    return parameter(default, "Spread", "How the values are spread.", options=_scales)


def _listed() -> Any:
    return parameter("", "Values", "Separated by commas; of a choice, empty for all.")


class Axes(Specification):
    """What a map's address says beside the parameters of its experiments and their training."""

    x: str = _axis("init_scale")
    x_from: str = _end("0.07", "From")
    x_to: str = _end("0.14", "To")
    x_steps: int = _steps()
    x_scale: str = _scale("log")
    x_values: str = _listed()
    y: str = _axis("depth")
    y_from: str = _end("5", "From")
    y_to: str = _end("75", "To")
    y_steps: int = _steps()
    y_scale: str = _scale("linear")
    y_values: str = _listed()
    outcome: str = parameter(
        "last_std", "Outcome", "What the colour tells.", options=_outcomes
    )  # fmt: skip
    seeds: int = parameter(
        1, "Seeds", "Experiments for each cell: mean and spread.", ge=1, le=MOST_SEEDS
    )


PARTS: Mapping[str, type[Specification]] = {
    "axes": Axes, "base": Experiment, "training": Training,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MapQuery:
    """An address as read: its three forms, and the map, or what is wrong with it."""

    forms: Mapping[str, Form[Any]]
    plane: Plane | None
    messages: Mapping[str, str]
    refusal: str = ""

    @classmethod
    def read(cls, given: Iterable[tuple[str, str]]) -> MapQuery:
        """Of a query's or a form's pairs."""
        pairs = list(given)
        owned = {n: part for part, model in PARTS.items() for n in model.model_fields}
        for name in RECORDING:
            del owned[name]
        forms = {
            part: Form.read(model, [p for p in pairs if owned.get(p[0]) == part])
            for part, model in PARTS.items()
        }
        errors = [e for form in forms.values() for e in form.errors]
        errors += [
            field_error(name, "unknown parameter", text) for name, text in pairs
            if name not in owned
        ]  # fmt: skip
        plane = None
        if not errors:
            try:
                plane = _plane(*(form.valid() for form in forms.values()))
            except InvalidParameters as invalid:
                errors = [{**e, "field": _control(e["field"])} for e in invalid.errors]
        messages = {e["field"]: e["message"] for e in reversed(errors)}
        other = [f"{f}: {m}" if f else m for f, m in messages.items() if f not in owned]
        return cls(forms, plane, messages, "; ".join(other))

    def refused(self, error: InvalidParameters | Exception) -> MapQuery:
        """The same, refused for a reason that was found later."""
        if isinstance(error, InvalidParameters):
            found = {_control(e["field"]): e["message"] for e in error.errors}
            known = {
                f: m
                for f, m in found.items()
                if any(f in form.typed for form in self.forms.values())
            }
            words = "; ".join(f"{f}: {m}" for f, m in found.items() if f not in known)
            return MapQuery(self.forms, None, known, words)
        return MapQuery(self.forms, self.plane, self.messages, str(error))

    @property
    def text(self) -> str:
        """The query string, shortened by the defaults."""
        return "&".join(filter(None, (form.query() for form in self.forms.values())))


def _control(field: str) -> str:
    """The control of a plane's field: ``x.from`` is typed into ``x_from``."""
    first, _, rest = field.partition(".")
    if first in ("x", "y"):
        return f"{first}_{rest}" if rest and rest != "parameter" else first
    return rest or field


def _plane(axes: Any, base: Specification, training: Specification) -> Plane:
    body = {
        "x": _axis_of(axes, "x"), "y": _axis_of(axes, "y"), "base": base.to_dict(),
        "outcome": axes.outcome, "seeds": axes.seeds, "training": training.to_dict(),
    }  # fmt: skip
    return Plane.from_json(body)


def _axis_of(axes: Axes, name: str) -> dict[str, Any]:
    typed = {k: getattr(axes, f"{name}_{k}") for k in ("from", "to", "steps", "scale", "values")}
    parameter_ = str(getattr(axes, name))
    found: dict[str, Any] = {"parameter": parameter_}
    if typed["values"].strip() or not is_number(parameter_):
        listed = [t.strip() for t in typed["values"].split(",") if t.strip()]
        if listed:
            found["values"] = [value_of(parameter_, text) for text in listed]
        if is_number(parameter_):
            found["scale"] = typed["scale"]
        return found
    ends = {k: number_of(typed[k]) for k in ("from", "to")}
    return {**found, **ends, "steps": typed["steps"], "scale": typed["scale"]}


def query_of(plane: Plane) -> str:
    """The address of any plane."""
    told: dict[str, str] = {}
    for name, axis in (("x", plane.x), ("y", plane.y)):
        told[name] = axis.parameter
        told |= _told(name, axis)
    told |= {"outcome": plane.outcome, "seeds": str(plane.seeds)}
    told |= plane.base.to_query()
    if plane.training is not None:
        told |= plane.training.to_query()
    return urlencode(told)


def _told(name: str, axis: Axis) -> dict[str, str]:
    """An axis by its ends where that gives these very values, else by its values."""
    if axis.is_number and len(axis) > 1:
        first, last = float(axis.values[0]), float(axis.values[-1])
        for steps in (len(axis), 15):
            if _between(axis, first, last, steps) == axis:
                return {
                    f"{name}_from": _short(first), f"{name}_to": _short(last),
                    f"{name}_steps": str(steps), f"{name}_scale": axis.scale,
                }  # fmt: skip
    values = ",".join(text_of(v) for v in axis.values)
    return {f"{name}_values": values, f"{name}_scale": axis.scale}


def _between(axis: Axis, first: float, last: float, steps: int) -> Axis | None:
    try:
        return Axis.between(axis.parameter, first, last, steps, axis.scale)
    except InvalidParameters:  # so many values can't be told apart, and these are listed
        return None


def _short(value: float) -> str:
    return text_of(value).removesuffix(".0")
