"""The first value of a training of ours that is not finite: where it came up, and from what."""

from __future__ import annotations

import math
from typing import Any

from layerscope.engine.execution.provenance import ailments
from layerscope.engine.execution.records import Record
from layerscope.engine.probe.step import Origin
from layerscope.engine.statistics import Statistics
from layerscope.engine.training.trainer import Done

__all__ = ["origin_of"]


def origin_of(done: Done) -> Origin | None:
    """Of a recorded step; None where all of it is finite."""
    for record in done.records:
        for name, parameter in record.parameters.items():
            if _bad(parameter.value):
                what = f"{_kinds(parameter.value)} in {record.facts.name}.{name} since the "
                what += f"optimiser's step {done.number - 1}, whose gradients were finite"
                return Origin(done.number - 1, "optimizer", record.facts.name, what,
                              evidence=_evidence(name, parameter.value))  # fmt: skip
        if _bad(record.activation):
            what = f"{_kinds(record.activation)} in the output of {record.facts.name}"
            return _made(done, record, "forward", "activation", record.activation, what)
    if not math.isfinite(done.loss):
        what = f"the loss is {done.loss:g} though the network's output is finite"
        return Origin(done.number, "loss", None, what, operands=done.cause)
    for record in reversed(done.records):
        if record.gradient is not None and _bad(record.gradient):
            what = f"{_kinds(record.gradient)} in the gradient by the output of {record.facts.name}"
            return _made(done, record, "backward", "gradient", record.gradient, what)
        for name in record.parameters:
            gradient = done.gradients[f"{record.facts.name}.{name}"]
            if _bad(gradient):
                what = f"{_kinds(gradient)} in the gradient of {record.facts.name}.{name}"
                return _made(done, record, "backward", f"{name}.grad", gradient, what)
    return None


def _made(
    done: Done, record: Record, direction: str, tensor: str, s: Statistics, what: str
) -> Origin:
    causes = (record.cause(tensor, ailment) for ailment in sorted(ailments(s) - {"0"}))
    operands = "; ".join(cause.said for cause in causes if cause) or None
    evidence = _evidence(tensor, s)
    return Origin(done.number, direction, record.facts.name, what, None, operands, evidence)


def _bad(s: Statistics) -> bool:
    return s.finite < s.count


def _kinds(s: Statistics) -> str:
    """How many of which, in words."""
    found = [(s.nan, "NaN"), (s.posinf, "+Inf"), (s.neginf, "−Inf")]
    parts = [f"{count} {what}" for count, what in found if count]
    return f"{' and '.join(parts)} among {s.count}"


def _evidence(name: str, s: Statistics) -> dict[str, Any]:
    return {name: {"nan": s.nan, "inf": s.posinf + s.neginf, "mean": s.mean, "std": s.std,
                   "min": s.min, "max": s.max}}  # fmt: skip
