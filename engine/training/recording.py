"""A step of ours as the step of a run: what the probe would have seen, with the same words."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from layerscope.engine.execution.records import Record
from layerscope.engine.probe.facts import ModuleFacts, ParameterFacts
from layerscope.engine.probe.step import Look, ModuleStep, Origin, Quantity, Slot, Step
from layerscope.engine.statistics import Histogram, Statistics
from layerscope.engine.training.trainer import Done

__all__ = ["facts_of", "scaled", "step_of", "unscaled"]

MOMENTS = ("mean", "std", "rms", "min", "max")


def facts_of(records: Sequence[Record]) -> list[ModuleFacts]:
    """What is known of every layer before any figure."""
    return [
        ModuleFacts(
            **{name: getattr(record.facts, name) for name in record.facts.__struct_fields__},
            parameters={
                name: ParameterFacts(p.shape, record.facts.dtype, trains=True, group=0)
                for name, p in record.parameters.items()
            },
        )
        for record in records
    ]


def step_of(done: Done, record: str, origin: Origin | None) -> Step:
    """The step, with those tensors that ``record`` names (see `Training`)."""
    slots: list[Slot] = []
    kept: list[Statistics] = []

    def keep(index: int, quantity: Quantity, s: Statistics | None, place: int = 0) -> None:
        if s is not None:
            slots.append(Slot(index, quantity, place))
            kept.append(s)

    for each in done.records:
        index = each.facts.index
        if record != "parameters":
            if index == 0:
                keep(index, Quantity.INPUT, done.input)
            keep(index, Quantity.ACTIVATION, each.activation)
            keep(index, Quantity.GRADIENT, each.gradient and unscaled(each.gradient, done.scale))
        if record != "signals":
            for place, (name, parameter) in enumerate(each.parameters.items()):
                full = f"{each.facts.name}.{name}"
                keep(index, Quantity.VALUE, parameter.value, place)
                keep(index, Quantity.PARAMETER_GRADIENT, done.gradients.get(full), place)
                keep(index, Quantity.UPDATE, done.updates.get(full), place)
    return Step(
        number=done.number, time=time.time(), loss=done.loss, learning_rates=[done.rate],
        slots=slots, statistics=kept, modules=[_said(each) for each in done.records],
        skipped=done.skipped, scale=None if done.scale == 1 else done.scale,
        baseline=done.baseline, origin=origin,
    )  # fmt: skip


def _said(record: Record) -> ModuleStep:
    units = record.units
    look = Look(
        window=1, dead=units.dead if units else None, units=units, saturation=record.saturation,
        units_alike=record.units_alike, gradients_alike=record.gradients_alike,
    )  # fmt: skip
    return ModuleStep(record.facts.index, record.facts.shape, calls=1, look=look)


def scaled(s: Statistics, exponent: int) -> Statistics:
    """The statistics of a tensor times 2 to the power ``exponent``; ``subnormal`` stays what was
    stored."""
    if not exponent:
        return s
    moments: dict[str, Any] = {
        name: None if (value := getattr(s, name)) is None else math.ldexp(value, exponent)
        for name in MOMENTS
    }
    h = s.histogram
    shifted = Histogram(h.first + exponent if h.positive.size else 0, h.positive, h.negative)
    return replace(s, histogram=shifted, **moments)


def unscaled(s: Statistics, scale: float) -> Statistics:
    """The statistics of a tensor over ``scale``; the histogram, whose bins are powers of two, over
    the one next to it."""
    exponent = round(math.log2(scale))
    found = scaled(s, -exponent)
    rest = scale / math.ldexp(1.0, exponent)
    if rest == 1:
        return found
    moments: dict[str, Any] = {
        name: None if (value := getattr(found, name)) is None else value / rest for name in MOMENTS
    }
    return replace(found, **moments)
