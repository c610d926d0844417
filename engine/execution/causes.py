"""Asks for the cause of every NaN, infinity and all-zero tensor at the layer where it comes up."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor

from layerscope.engine.execution.passes import BackwardStep, ForwardStep
from layerscope.engine.execution.provenance import Ailment, Cause, ailments, causes
from layerscope.engine.execution.records import Record
from layerscope.engine.layers import Layer
from layerscope.engine.layers.losses import Loss
from layerscope.engine.statistics.ahead import Read

__all__ = ["Causes"]

MOST_ENTRIES = 1 << 20  # of a layer's input that are run again to see where all its zeros came from
MOST_TRACED = 1 << 22
"""Entries of a layer's tensors up to which it is run again, since a tape keeps all of the run."""


class Causes:
    """Follows the passes of one network and writes what it finds into its records.

    Only where something comes up that was not there before is the layer run again, on one sample
    where its samples do not depend on each other.

    Args:
        loss: the network's own.
        read: who knows the statistics of the passes' tensors.
    """

    def __init__(self, loss: Loss, read: Read) -> None:
        self._loss, self._read = loss, read
        self._gradient: Tensor | None = None
        """What the layer after handed back, the loss at first."""
        self._waiting: list[Cause] = []
        """Of that gradient, for the record that the next step back will be about."""

    def forward(self, step: ForwardStep, record: Record, before: Record | None) -> None:
        """``before`` is the record of the layer whose output is ``step.x``; None for the first."""
        found = ailments(record.activation)
        if not found:
            return
        known = ailments(before.activation) if before else self._of(step.x)
        if step.skip is not None:
            known |= self._of(step.skip)
        new = found - known
        if new:
            record.causes += _of_output(step, new)

    def loss(self, value: Tensor, output: Tensor, target: Tensor) -> Cause | None:
        """Why the loss, ``value``, is not finite where the network's output is."""
        loss, names = self._loss, {"output": output, "target": target}
        known = self._of(output) - {"0"}
        new = self._of(value) - {"0"} - known
        self._gradient = loss.backward()
        handed = self._of(self._gradient) - known
        self._waiting = (
            causes(loss.backward, names, tensor="gradient", asked=handed) if handed else []
        )
        if not new or output.numel() > MOST_TRACED:
            return None
        found = causes(
            lambda: loss.function(output, target), names, tensor="loss", asked=new
        )  # fmt: skip
        return found[0] if found else None

    def backward(self, step: BackwardStep, record: Record) -> None:
        """Of the gradients by a layer's output, found a step before, and by its parameters."""
        gradient, layer = step.gradient, step.layer
        here = ailments(record.gradient) if record.gradient else frozenset()
        record.causes += self._waiting
        before, shortcut = self._gradient, step.shortcut
        if shortcut is not None and before is not None:
            known = self._of(before) | self._of(shortcut) if here else here
            both = {"the block's gradient": before, "the shortcut's": shortcut}
            if here - known and _entries(*both.values()) <= MOST_TRACED:
                record.causes += causes(
                    lambda: before + shortcut, both, tensor="gradient", asked=here - known
                )  # fmt: skip
        self._gradient, self._waiting = step.by_input, []
        anew = {
            name: new
            for name, parameter in record.parameters.items()
            if parameter.gradient is not None and (new := ailments(parameter.gradient) - here)
        }
        # nothing asks for the gradient by the network's input
        handed = self._of(step.by_input) - here if step.info.index else None
        if not (anew or handed):
            return
        kept = dict(zip(layer.keeps, layer.saved, strict=False)) if layer.keeps else {}
        held = gradient, step.by_input, *layer.parameters.values(), *kept.values()
        if _entries(*held) > MOST_TRACED:
            return  # too large to be run again: nothing is told
        name_of = step.info.name
        names = {f"{name_of}'s gradient": gradient}
        names |= {f"{name_of}.{name}": value for name, value in layer.parameters.items()}
        names |= {f"{name_of}'s {name}": value for name, value in kept.items()}
        for name, new in anew.items():
            record.causes += causes(
                partial(_parameter_gradient, layer, gradient, name), names,
                tensor=f"{name}.grad", asked=new,
            )  # fmt: skip
        if handed:
            self._waiting = causes(
                lambda: layer.twin().backward(gradient), names, tensor="gradient", asked=handed
            )  # fmt: skip

    def _of(self, tensor: Tensor) -> frozenset[Ailment]:
        return ailments(self._read.statistics(tensor))


def _entries(*tensors: object) -> int:
    return sum(t.numel() for t in tensors if isinstance(t, Tensor))


def _parameter_gradient(layer: Layer, gradient: Tensor, name: str) -> Tensor:
    twin = layer.twin()
    twin.backward(gradient)
    return twin.gradients[name]


def _of_output(step: ForwardStep, new: Collection[Ailment]) -> list[Cause]:
    found: list[Cause] = []
    left = set(new)
    rows = _sample(step, new) if not step.layer.couples_samples else None
    for start, end in ([rows] if rows else []) + [(0, len(step.x))]:
        x = step.x[start:end]
        if _entries(x, step.output[start:end]) > MOST_TRACED:
            continue
        skip = step.skip[start:end] if step.skip is not None else None
        name = step.info.name
        names = {f"{name}'s input": x, **({} if skip is None else {f"{name}'s shortcut": skip})}
        names |= {f"{name}.{key}": value for key, value in step.layer.parameters.items()}
        found += causes(
            partial(_again, step.layer, x, skip),
            names, tensor="activation", asked=left, seen=step.output[start:end], row=start,
        )  # fmt: skip
        left -= {c.ailment for c in found}
        if not left:  # another number of rows may round otherwise: then all of them are run
            break
    return found


def _again(layer: Layer, x: Tensor, skip: Tensor | None) -> Tensor:
    return layer.twin().forward(x) if skip is None else x + skip


def _sample(step: ForwardStep, new: Collection[Ailment]) -> tuple[int, int] | None:
    """The samples to be run again; None: all."""
    if "0" in new:
        rows = MOST_ENTRIES // max(1, step.x.shape[1])
        return (0, rows) if rows < len(step.x) else None
    bad = step.output.isnan() if "NaN" in new else step.output.isinf()
    row = int(torch.nonzero(bad.any(1))[0])
    return (row, row + 1)
