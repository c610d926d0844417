"""The axes of a map: any parameter of an experiment or of its training, and the values it takes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from layerscope.engine.basis.refusals import InvalidParameters, refusal
from layerscope.engine.basis.specification import (
    Specification,
    bounds,
    takes_fractions,
    written,
)
from layerscope.engine.experiment import Experiment
from layerscope.engine.training import Training

__all__ = [
    "MOST_VALUES",
    "RANGE",
    "RECORDING",
    "SCALES",
    "Axis",
    "Scale",
    "Value",
    "is_number",
    "number_of",
    "owner",
    "parameters",
    "value_of",
]

Value = float | int | str | bool
RANGE = ("from", "to", "steps")
"""What says an axis of numbers that are not listed."""
MOST_VALUES = 200
"""Along one axis; more cells than a picture has room for."""
RECORDING = ("every", "record")
"""Parameters of a training that change no number of it."""
DIGITS = (6, 9, 13, 17)
"""Significant digits of a value between two ends, the least that keep all values apart: short
enough to be read in a link, and what is computed is exactly what is read."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How values are spread: evenly in ``forward(value)``; ``least``: the lowest end it can have,
    not included where ``above``."""

    name: str
    help: str
    forward: Callable[[float], float]
    backward: Callable[[float], float]
    least: float = -math.inf
    above: bool = False

    def takes(self, value: float) -> bool:
        """Whether an axis may have it."""
        return value > self.least if self.above else value >= self.least

    @property
    def expected(self) -> str:
        """What it takes, as a sentence's end."""
        least = "above 0" if self.above else "of at least 0"
        return f"expected a number {least} for a {self.name} scale"


SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale("linear", "evenly", float, float),
        Scale("log", "evenly in the logarithm", math.log, math.exp, 0.0, above=True),
        Scale("square", "evenly in the square: σw² where the axis is σw",
              lambda v: v * v, math.sqrt, 0.0),
    )
}  # fmt: skip


def parameters() -> dict[str, type[Specification]]:
    """What an axis may be, by name: every parameter of an experiment, and of a training, whose
    values are numbers or choices.

    >>> parameters()["learning_rate"].__name__
    'Training'
    """
    found: dict[str, type[Specification]] = {}
    for model in (Experiment, Training):
        found.update({n: model for n, field in model.model_fields.items() if not written(field)})
    return {name: model for name, model in found.items() if name not in RECORDING}


def owner(parameter: str) -> type[Specification]:
    """Whose parameter it is. Errors: ``KeyError`` for an unknown one."""
    return parameters()[parameter]


def is_number(parameter: str) -> bool:
    """Whether its values are numbers; else they are chosen from a list."""
    model = owner(parameter)
    return not model.options(parameter) and model.model_fields[parameter].annotation is not bool


def _is_whole(parameter: str) -> bool:
    return not takes_fractions(owner(parameter).model_fields[parameter])


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter and its values, in order; ``scale`` names how they are spread.

    >>> Axis.between("init_scale", 0.5, 2, 3, "log").values
    (0.5, 1.0, 2.0)
    >>> Axis.of("activation", ["relu", "tanh"]).values
    ('relu', 'tanh')
    """

    parameter: str
    values: tuple[Value, ...]
    scale: str = "linear"

    @classmethod
    def of(cls, parameter: str, values: Sequence[Value] | None = None, scale: str = "") -> Axis:
        """Of these values; by default every option that the parameter has.

        Errors: `InvalidParameters` naming the axis's part that is wrong and what was expected.
        """
        _known(parameter)
        if values is None:
            if is_number(parameter):
                expected = "expected its values, or from, to and steps"
                raise refusal("values", f"{parameter} is a number; {expected}")
            values = list(owner(parameter).options(parameter)) or [False, True]
        kept = [_plain(value) for value in values]
        if not 1 <= len(kept) <= MOST_VALUES:
            expected = f"expected 1 to {MOST_VALUES} values, got {len(kept)}"
            raise refusal("values", expected)
        spread = _scale(scale or "linear")
        for value in kept:
            _accepted(parameter, value)
            if is_number(parameter) and not spread.takes(value):
                raise refusal("values", spread.expected, value)
        if is_number(parameter):
            kept = [int(v) if _is_whole(parameter) else float(v) for v in kept]
        if len(set(map(repr, kept))) < len(kept):
            raise refusal("values", "expected each value once")
        return cls(parameter, tuple(kept), spread.name)

    @classmethod
    def between(
        cls, parameter: str, first: float, last: float, steps: int, scale: str = "linear"
    ) -> Axis:
        """So many values of a number from ``first`` to ``last``, spread evenly on a scale; whole
        ones are rounded, and fewer where that makes two of them one.

        Errors: as of `of`.
        """
        _known(parameter)
        if not is_number(parameter):
            names = ", ".join(owner(parameter).options(parameter)) or "true, false"
            raise refusal("from", f"{parameter} is no number; expected values among: {names}")
        spread = _scale(scale)
        if not 1 <= steps <= MOST_VALUES:
            raise refusal("steps", f"expected a whole number from 1 to {MOST_VALUES}", steps)
        for name, end in (("from", first), ("to", last)):
            _accepted(parameter, end, name)
            if not spread.takes(end):
                raise refusal(name, spread.expected, end)
        if steps > 1 and first == last:
            raise refusal("to", "expected another value than from, or one step", last)
        values = _between(spread, float(first), float(last), steps)
        if _is_whole(parameter):
            values = list(dict.fromkeys(float(round(v)) for v in values))
        try:
            return cls.of(parameter, values, scale)
        except InvalidParameters as error:
            raise refusal("steps", f"expected fewer: {error.errors[0]['message']}", steps) from None

    @classmethod
    def from_json(cls, body: object) -> Axis:
        """Of ``{"parameter", "from", "to", "steps", "scale"}`` or ``{"parameter", "values"}``.

        Errors: as of `of`.
        """
        if not isinstance(body, Mapping):
            raise refusal(
                "", "expected an object with a parameter, and its values or a range", body
            )
        names = ("parameter", "values", *RANGE, "scale")
        for name in body:
            if name not in names:
                raise refusal(
                    str(name), f"unknown; expected one of: {', '.join(names)}", body[name]
                )
        parameter = body.get("parameter")
        _known(parameter)
        if "values" in body or not is_number(str(parameter)):
            values = body.get("values")
            for name in RANGE:
                if name in body:
                    raise refusal(name, f"expected nothing beside {_instead(values)}", body[name])
            if values is not None and not isinstance(values, list):
                raise refusal("values", "expected a list", values)
            return cls.of(str(parameter), values, _text(body, "scale"))
        first, last = (_number(body, name) for name in ("from", "to"))
        steps = body.get("steps", 20)
        if isinstance(steps, float) and steps.is_integer():
            steps = int(steps)
        if not isinstance(steps, int) or isinstance(steps, bool):
            raise refusal("steps", f"expected a whole number from 1 to {MOST_VALUES}", steps)
        return cls.between(str(parameter), first, last, steps, _text(body, "scale") or "linear")

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"parameter": self.parameter, "values": list(self.values), "scale": self.scale}

    def __len__(self) -> int:
        return len(self.values)

    @property
    def title(self) -> str:
        """What a form calls the parameter."""
        return str(owner(self.parameter).model_fields[self.parameter].title)

    @property
    def is_number(self) -> bool:
        """Whether a line may run along it."""
        return is_number(self.parameter)

    def at(self, steps: float) -> Any:
        """The value so many steps from the first, between two of them where it is a number.

        >>> Axis.between("init_scale", 1, 4, 3, "log").at(0.5)
        1.414214
        """
        if not self.is_number:
            return self.values[round(steps)]
        low = min(max(0, math.floor(steps)), max(0, len(self.values) - 2))
        if len(self.values) < 2:
            return self.values[0]
        scale = SCALES[self.scale]
        a, b = (scale.forward(float(v)) for v in self.values[low : low + 2])
        return float(f"{scale.backward(a + (steps - low) * (b - a)):.7g}")

    def place(self, value: float) -> float:
        """Where a number lies, in steps from the first value, extrapolated beyond the ends.

        >>> Axis.between("init_scale", 1, 4, 3, "square").place(4)
        2.0
        """
        forward = SCALES[self.scale].forward
        at = [forward(float(v)) for v in self.values]
        if len(at) < 2:
            return 0.0
        x, low = forward(value), 0
        while low < len(at) - 2 and (x - at[low + 1]) * (at[-1] - at[0]) > 0:
            low += 1
        return round(low + (x - at[low]) / (at[low + 1] - at[low]), 9)


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _between(spread: Scale, first: float, last: float, steps: int) -> list[float]:
    inner = np.linspace(spread.forward(first), spread.forward(last), steps)[1:-1]
    values: list[float] = []
    for digits in DIGITS:
        between = [float(f"{spread.backward(float(v)):.{digits}g}") for v in inner]
        values = [first, *between, last][:steps]
        if len(set(values)) == len(values):
            break
    return values


def _scale(name: str) -> Scale:
    if name not in SCALES:
        raise refusal("scale", f"expected one of: {', '.join(SCALES)}", name)
    return SCALES[name]


def number_of(text: str) -> float | str:
    """The number that is typed; what is none stays text, which whoever takes numbers refuses."""
    try:
        return float(text)
    except ValueError:
        return text


def value_of(parameter: str, text: str) -> Value:
    """The value that is typed, as the parameter itself reads it; what it can't read is left to the
    axis, which says what it expected.

    Errors: `InvalidParameters` for an unknown parameter.

    >>> value_of("residual", "true"), value_of("depth", "3"), value_of("depth", "3.5")
    (True, 3, 3.5)
    """
    _known(parameter)
    try:
        value: Value = owner(parameter).from_strings([(parameter, text)]).to_dict()[parameter]
    except InvalidParameters:
        # Alone it may not go together with the other defaults, and yet be one of its values.
        return number_of(text) if is_number(parameter) else text
    return value


def _instead(values: object) -> str:
    return "a choice" if values is None else "the values themselves"


def _known(parameter: object) -> None:
    if not isinstance(parameter, str) or parameter not in parameters():
        raise refusal("parameter", f"expected one of: {', '.join(parameters())}", parameter)


def _accepted(parameter: str, value: object, name: str = "values") -> None:
    """Errors: `InvalidParameters` for a value that the parameter itself does not take."""
    model = owner(parameter)
    field = model.model_fields[parameter]
    expected = model.expectation(parameter)
    if known := model.options(parameter):
        fits = value in known if isinstance(value, str) else False
    elif field.annotation is bool:
        fits = isinstance(value, bool)
    else:
        low, high = bounds(field)
        low, high = max(low, -sys.float_info.max), min(high, sys.float_info.max)
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = bool(number and (whole or takes_fractions(field)) and low <= value <= high)  # type: ignore[operator]
        fits = fits and str(value) != "-0.0"  # an experiment has one zero
    if not fits:
        raise refusal(name, expected, value)


def _number(body: Mapping[str, Any], name: str) -> float:
    value = body.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise refusal(name, "expected a number", value)
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise refusal(name, f"expected one of: {', '.join(SCALES)}", value)
    return value
