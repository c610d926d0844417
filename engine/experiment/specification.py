"""The experiment: a frozen specification that determines every number that follows.

It is at once the form, the query string, the JSON body, the command line's flags and the cache
key; each parameter is one field below, with its label, bounds, unit and help.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
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
from pydantic_core import PydanticCustomError

from layerscope.engine.basis.registry import Described
from layerscope.engine.data import DATASETS
from layerscope.engine.initialization import INITS
from layerscope.engine.layers import ACTIVATIONS, NORMS
from layerscope.engine.losses import LOSSES

__all__ = ["DTYPES", "Experiment", "FieldError", "InvalidExperiment", "expectation", "options"]

DTYPES: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
MAX_SEED = 2**53 - 1  # the largest whole number that JSON readers keep exactly

FieldError = dict[str, Any]
"""``{"field": name, "message": what was expected, "value": what came}``."""


class InvalidExperiment(ValueError):
    """A specification with parameters that cannot be accepted; ``errors`` says which and why."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{e['field']}: {e['message']}" for e in self.errors))


Options = Mapping[str, Mapping[str, str]]
"""By name: ``formula``, ``source`` and ``help`` of what a parameter may be."""


def _described(entries: Iterable[tuple[str, Described]]) -> Options:
    return {name: {"formula": e.formula, "source": e.source, "help": e.help} for name, e in entries}


def _norms() -> Options:
    none = {"formula": "y = x", "source": "", "help": "No normalisation."}
    return {"none": none, **_described((norm.option(), norm) for norm in NORMS.values())}


def _dtypes() -> Options:
    return {
        name: {
            "formula": f"max {torch.finfo(d).max:.3g}, smallest normal {torch.finfo(d).tiny:.3g}",
            "source": "IEEE 754" if d != torch.bfloat16 else "Google Brain 2018",
            "help": f"{torch.finfo(d).bits} bits, rounding error {torch.finfo(d).eps:.2g}",
        }
        for name, d in DTYPES.items()
    }


# Asked anew every time: an entry may be registered at any moment.
_OPTIONS: dict[str, Callable[[], Options]] = {
    "activation": lambda: _described(ACTIVATIONS.items()),
    "init": lambda: _described(INITS.items()),
    "norm": _norms,
    "data": lambda: _described(DATASETS.items()),
    "loss": lambda: _described(LOSSES.items()),
    "dtype": _dtypes,
}


def options(name: str) -> Options | None:
    """What the parameter ``name`` may be, as registered now; None where it is a number or switch.

    >>> list(options("norm")), options("depth")
    (['none', 'layer', 'batch', 'rms'], None)
    """
    choose = _OPTIONS.get(name)
    return None if choose is None else choose()


def _control(
    kind: Literal["log", "range", "select", "switch", "number"],
    unit: str = "",
    slider: tuple[float, float] | None = None,
) -> dict[str, Any]:
    extra: dict[str, Any] = {"control": kind, "unit": unit}
    if slider is not None:
        extra["slider"] = list(slider)
    return extra


def _with_options(schema: dict[str, Any]) -> None:
    for name, choose in _OPTIONS.items():
        schema["properties"][name]["enum"] = list(choose())


class Experiment(BaseModel):
    """A fully connected network at initialisation, its data and its number format.

    >>> Experiment(activation="linear", init="normal", init_scale=0.01).to_query()
    {'init_scale': '0.01', 'activation': 'linear', 'init': 'normal'}
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_with_options
    )

    init_scale: float = Field(
        1.0, ge=0, le=100, title="Init scale",
        description="Multiplies whatever the init scheme draws: randn with 0.01 is the notes' "
        "randn * 0.01.",
        json_schema_extra=_control("log", slider=(0.001, 10)),
    )  # fmt: skip
    depth: int = Field(
        50, ge=1, le=1000, title="Depth",
        description="Hidden blocks: linear, [norm], activation, [residual sum].",
        json_schema_extra=_control("range", "blocks", slider=(1, 100)),
    )  # fmt: skip
    width: int = Field(
        100, ge=1, le=4096, title="Width", description="Units per hidden layer.",
        json_schema_extra=_control("range", "units", slider=(1, 512)),
    )  # fmt: skip
    activation: str = Field(
        "relu", title="Activation", description="The nonlinearity φ after every hidden layer.",
        json_schema_extra=_control("select"),
    )  # fmt: skip
    init: str = Field(
        "kaiming_normal", title="Init scheme", description="How weights are drawn.",
        json_schema_extra=_control("select"),
    )  # fmt: skip
    norm: str = Field(
        "none", title="Norm", description="Normalisation between linear and activation.",
        json_schema_extra=_control("select"),
    )  # fmt: skip
    residual: bool = Field(
        False, title="Residual",
        description="Adds each block's input to its output, where their shapes agree.",
        json_schema_extra=_control("switch"),
    )  # fmt: skip
    bias_std: float = Field(
        0.0, ge=0, le=100, title="Bias std", description="Biases are drawn from N(0, bias_std²).",
        json_schema_extra=_control("number"),
    )  # fmt: skip
    data: str = Field(
        "gaussian", title="Data", description="What goes in, and what should come out.",
        json_schema_extra=_control("select"),
    )  # fmt: skip
    loss: str = Field(
        "mse", title="Loss", description="What the backward pass starts from.",
        json_schema_extra=_control("select"),
    )  # fmt: skip
    dtype: str = Field(
        "float32", title="Number format", description="Every tensor's dtype.",
        json_schema_extra=_control("select"),
    )  # fmt: skip
    batch: int = Field(
        200, ge=1, le=65536, title="Batch", description="Samples.",
        json_schema_extra=_control("number", "samples"),
    )  # fmt: skip
    inputs: int | None = Field(
        None, ge=1, le=4096, title="Inputs",
        description="Input features of Gaussian data; absent: as the width. Digits have 64.",
        json_schema_extra=_control("number", "features"),
    )  # fmt: skip
    seed: int = Field(
        0, ge=0, le=MAX_SEED, title="Seed",
        description="The same seed gives the same bits, in any process.",
        json_schema_extra=_control("number"),
    )  # fmt: skip

    @field_validator("*", mode="before")
    @classmethod
    def _no_negative_zero(cls, value: Any) -> Any:
        if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
            raise PydanticCustomError("negative_zero", "negative zero", {"value": "-0.0"})
        return value

    @field_validator("*")
    @classmethod
    def _registered(cls, value: Any, info: ValidationInfo) -> Any:
        known = options(str(info.field_name))
        if known is not None and value not in known:
            raise PydanticCustomError("unknown_option", "unknown")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        dataset = DATASETS[self.data]
        if dataset.features is not None and self.inputs not in (None, dataset.features):
            raise PydanticCustomError(
                "inputs_of_data",
                f"expected {dataset.features} or nothing: {self.data} has {dataset.features} "
                "features",
                {"field": "inputs", "value": self.inputs},
            )
        if dataset.samples is not None and self.batch > dataset.samples:
            raise PydanticCustomError(
                "batch_of_data",
                f"expected at most {dataset.samples}: {self.data} has {dataset.samples} samples",
                {"field": "batch", "value": self.batch},
            )
        return self

    @property
    def n_inputs(self) -> int:
        """Input features: as asked for, as the data has, or as the width."""
        return self.inputs or DATASETS[self.data].features or self.width

    @property
    def n_outputs(self) -> int:
        """Output features: one per class for a loss over classes, else one per number."""
        dataset = DATASETS[self.data]
        return dataset.classes if LOSSES[self.loss].classifies else dataset.numbers

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @classmethod
    def from_json(cls, body: object) -> Experiment:
        """The experiment of a decoded JSON object; types must be JSON's own.

        Errors: ``InvalidExperiment`` with one entry per bad parameter.
        """
        if not isinstance(body, Mapping):
            raise InvalidExperiment([_error("body", "expected a JSON object of parameters", body)])
        try:
            return cls.model_validate(dict(body), strict=True)
        except ValidationError as error:
            raise InvalidExperiment(_translate(error)) from None
        except UnicodeEncodeError as error:  # half a surrogate pair, which JSON may hold
            raise InvalidExperiment(
                [_error("body", "expected text that UTF-8 can hold", error.object)]
            ) from None

    @classmethod
    def from_strings(cls, pairs: Iterable[tuple[str, str]]) -> Experiment:
        """The experiment of a query string's or form's name-value pairs.

        Errors: ``InvalidExperiment`` with one entry per bad, unknown or repeated parameter.
        """
        values: dict[str, Any] = {}
        typed: dict[str, str] = {}
        errors: list[FieldError] = []
        for name, text in pairs:
            if name in typed:
                errors.append(_error(name, "given more than once; expected it once", text))
                continue
            values[name] = typed[name] = text
            field = cls.model_fields.get(name)
            if field is not None:
                try:
                    values[name] = _parse(field, text)
                except ValueError:
                    errors.append(_error(name, expectation(name), text))
                    values[name] = field.default  # so that other fields' errors are found too
        try:
            experiment = cls.model_validate(values, strict=True)
        except ValidationError as error:
            for item in _translate(error):
                errors.append({**item, "value": typed.get(item["field"], item["value"])})
        if errors:
            raise InvalidExperiment(errors)
        return experiment

    def to_dict(self) -> dict[str, Any]:
        """Every parameter, in the contract's names."""
        return self.model_dump()

    def to_query(self) -> dict[str, str]:
        """The parameters that differ from their default, as canonical text."""
        query = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.default:
                query[name] = str(value).lower() if isinstance(value, bool) else f"{value}"
        return query


def expectation(name: str) -> str:
    """What the parameter ``name`` accepts, as a sentence's end.

    >>> expectation("depth")
    'expected a whole number from 1 to 1000'
    """
    field = Experiment.model_fields[name]
    known = options(name)
    if known is not None:
        return "expected one of " + ", ".join(known)
    if field.annotation is bool:
        return "expected true or false"
    low, high = _bounds(field)
    whole = "a number" if field.annotation is float else "a whole number"
    return f"expected {whole} from {low:g} to {high}"


def _bounds(field: FieldInfo) -> tuple[float, float]:
    low = next(m.ge for m in field.metadata if hasattr(m, "ge"))
    high = next(m.le for m in field.metadata if hasattr(m, "le"))
    return low, high


_WHOLE = re.compile(r"\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def _parse(field: FieldInfo, text: str) -> Any:
    """The value that ``text`` stands for; ``ValueError`` where it stands for none."""
    kind = field.annotation
    if kind is str:
        return text
    if kind is bool:
        if text not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[text]
    if type(None) in get_args(kind) and text == "":
        return None
    pattern, number = (_DECIMAL, float) if kind is float else (_WHOLE, int)
    if len(text) > 40 or not pattern.fullmatch(text):
        raise ValueError(text)
    return number(text)


def _error(field: str, message: str, value: object) -> FieldError:
    """One error, its value cut to a length and made of what JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SEED:
        value = f"{value:.6e}" if abs(value) < 10**300 else "a number beyond 1e300"
    if not isinstance(value, str | int | float | bool | None):
        value = str(value)
    if isinstance(value, str) and len(value) > 100:
        value = value[:100] + "…"
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    return {"field": field[:100].encode("utf-8", "replace").decode(), "message": message,
            "value": value}  # fmt: skip


def _translate(error: ValidationError) -> list[FieldError]:
    """Pydantic's errors in our words: the field, what it expects, the value that came."""
    errors = []
    for item in error.errors(include_url=False):
        context = item.get("ctx", {})
        name = str(context.get("field") or (item["loc"][0] if item["loc"] else "body"))
        value = context.get("value", item.get("input"))
        if item["type"] in ("inputs_of_data", "batch_of_data"):
            message = item["msg"]
        elif name in Experiment.model_fields:
            message = expectation(name)
        else:
            known = ", ".join(Experiment.model_fields)
            message = f"unknown parameter; expected one of {known}"
        errors.append(_error(name, message, value))
    return errors
