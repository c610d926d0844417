"""One forward and one backward pass, written down: records of every call, the loss, what failed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.nn.parameter import is_lazy

from layerscope.engine.execution.provenance import Cause, ailments, causes
from layerscope.engine.execution.records import Facts, Record
from layerscope.engine.probe.again import made_by, made_by_loss, random_state
from layerscope.engine.probe.facts import facts_of, leaves, own_parameters
from layerscope.engine.probe.kinds import kind_of
from layerscope.engine.probe.lines import raising_line
from layerscope.engine.probe.outputs import has_figures, main_tensor, tensors
from layerscope.engine.probe.preflight.batch import Batch
from layerscope.engine.probe.preflight.functions import ActivationCalls, LossCall, LossCalls, Outer
from layerscope.engine.statistics import Statistics, statistics
from layerscope.engine.statistics.many import plain

__all__ = ["Call", "Failure", "Look", "look"]

MOST_CALLS = 4096
"""Records kept of one pass: a module called in a loop has one a call."""


@dataclass(frozen=True)
class Failure:
    """An error of the user's own code: ``where`` is ``forward``, ``loss`` or ``backward``."""

    where: str
    module: str | None
    error: str
    line: str | None
    inputs: tuple[tuple[int, ...], ...] = ()


@dataclass
class Call:
    """One call of a leaf, or of an activation as a function."""

    module: nn.Module
    record: Record
    inputs: tuple[Any, ...]
    reaches: bool
    """Whether a gradient could pass its output."""
    gradient: Tensor | None = None
    """Of the loss by its output."""


@dataclass
class Look:
    """What one forward and one backward pass showed. ``gradients`` has an entry for each parameter
    that asks for a gradient, None where none came."""

    model: nn.Module
    batch: Batch
    calls: list[Call] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    first_input: Tensor | None = None
    """Floats that went into the first call that has a role or parameters."""
    output: Tensor | None = None
    loss: float | None = None
    loss_reaches: bool = False
    loss_calls: list[LossCall] = field(default_factory=list)
    outer: list[Outer] = field(default_factory=list)
    gradients: dict[str, Statistics | None] = field(default_factory=dict)
    values: dict[str, Statistics] = field(default_factory=dict)
    failure: Failure | None = None
    loss_cause: Cause | None = None
    unseen: dict[str, str] = field(default_factory=dict)
    """Modules whose output could not be read, and why."""

    @property
    def records(self) -> list[Record]:
        return [call.record for call in self.calls]


def look(model: nn.Module, batch: Batch, loss: Callable[..., Any]) -> Look:
    """One pass each way. Errors of the model and of the loss become ``failure``; gradients are left
    at the parameters, which must have had none."""
    found = Look(model, batch)
    eyes = _Eyes(found)
    with random_state():
        try:
            output = eyes.forward()
            value = _loss(found, output, loss)
            eyes.close()  # what a checkpoint computes again on the way back is no further call
            if value is not None:
                _backward(found, value)
        finally:
            eyes.close()
    for name, parameter in model.named_parameters():
        if not has_figures(parameter) or is_lazy(parameter):
            continue  # the pass failed before it got a shape, or it holds whole numbers
        found.values[name] = statistics(plain(parameter))
        if parameter.requires_grad:
            g = parameter.grad
            found.gradients[name] = None if g is None else statistics(plain(g))
    _complete(found)
    for call in found.calls:
        call.inputs, call.gradient = (), None
    return found


def _loss(found: Look, output: Any, loss: Callable[..., Any]) -> Tensor | None:
    if found.failure is not None:
        return None
    modes = LossCalls()
    try:
        with modes:
            value = loss(output, found.batch.target())
    except Exception as error:
        found.failure = Failure("loss", None, _said(error), raising_line(error))
        value = None
    found.loss_calls, found.outer = modes.found.calls, modes.found.outer
    if found.failure is None and not (isinstance(value, Tensor) and value.numel() == 1):
        kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        said = f"expected a tensor of one number from the loss, got {kind}"
        found.failure = Failure("loss", None, said, None)
    if found.failure is not None or not isinstance(value, Tensor):
        return None
    found.loss, found.loss_reaches = float(value.detach()), value.requires_grad
    bad = found.loss - found.loss != 0.0
    if bad and found.output is not None and bool(torch.isfinite(found.output).all()):
        made = made_by_loss(loss, (output, found.batch.y), {}, found.loss)
        found.loss_cause = made[0] if made else None
    return value if value.requires_grad else None


def _backward(found: Look, value: Tensor) -> None:
    try:
        value.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        came = [c for c in found.calls if c.gradient is not None]
        last = came[0].record.facts.name if came else None
        found.failure = Failure("backward", last, _said(error), raising_line(error))


def _complete(found: Look) -> None:
    """Adds gradients to the records, and the cause of the first that went wrong."""
    seen: set[int] = set()
    for call in found.calls:
        own = {}
        for name, parameter in own_parameters(call.module):
            if name in call.record.parameters and parameter.grad is not None:
                own[name] = plain(parameter.grad).view(parameter.shape) if (
                    parameter.grad.layout is torch.strided and not parameter.is_complex()
                ) else plain(parameter.grad)  # fmt: skip
        seen.add(id(call.module))
        gradient = None if call.gradient is None else plain(call.gradient)
        call.record.backward(gradient, own)
    for here, after in reversed(list(pairwise(found.calls))):
        ill, given = here.record.gradient, after.record.gradient
        if ill is None or given is None or after.gradient is None:
            continue
        new = ailments(ill) - ailments(given) - {"0"}
        if new:
            here.record.causes += _why_gradient(after, list(new))
            return


def _why_gradient(after: Call, asked: list[Any]) -> list[Cause]:
    x = main_tensor(after.inputs)
    if x is None or after.gradient is None:
        return []
    given, start = after.gradient, x.detach()
    name = after.record.facts.name
    names = {f"{name}'s gradient": given, f"{name}'s input": start}
    with contextlib.suppress(Exception):  # whatever the user's module does a second time
        twin = copy.deepcopy(after.module)

        def again() -> Tensor:
            with torch.enable_grad():
                leaf = start.clone().requires_grad_()
                out = main_tensor(twin.forward(leaf))
                if out is None:
                    raise TypeError(name)
                return torch.autograd.grad(out, leaf, given)[0]

        return causes(again, names, tensor="gradient", asked=asked)
    return []


class _Eyes:
    """Global hooks, filtered by the modules' ids: nothing is put into the model."""

    def __init__(self, found: Look) -> None:
        self._found = found
        self._names = {id(m): name for name, m in found.model.named_modules()}
        self._leaves = {id(m) for _, m in leaves(found.model)}
        self._stack: list[tuple[nn.Module, tuple[Any, ...]]] = []
        self._measured: set[int] = set()
        self._busy = self._begun = False
        self._handles = [
            register_module_forward_pre_hook(self._enters),
            register_module_forward_hook(self._leaves_it),
        ]

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def forward(self) -> Any:
        """The model's output; None where the model failed."""
        found = self._found
        try:
            with ActivationCalls(self._function, self._quiet):
                output = found.batch.through(found.model)
        except Exception as error:
            module, inputs = self._stack[-1] if self._stack else (None, ())
            name = None if module is None else self._names[id(module)]
            shapes = tuple(tuple(t.shape) for t in tensors(inputs))
            found.failure = Failure("forward", name, _said(error), raising_line(error), shapes)
            return None
        main = main_tensor(output)
        found.output = None if main is None else main.detach()
        return output

    def _quiet(self) -> bool:
        """Within a module that is recorded as an activation itself."""
        return self._busy or bool(self._stack and kind_of(self._stack[-1][0]).role == "activation")

    def _enters(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._busy or id(module) not in self._names:
            return
        if getattr(module, "inplace", False):
            inputs = tuple(t.detach().clone() if isinstance(t, Tensor) else t for t in inputs)
        self._stack.append((module, inputs))

    def _leaves_it(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self._busy or id(module) not in self._names:
            return
        while self._stack:  # what is above it raised, and somebody caught that
            top, before = self._stack.pop()
            if top is module:
                inputs = before
                break
        name = self._names[id(module)]
        self._found.called.add(name)
        tensor = main_tensor(output)
        if id(module) in self._leaves and tensor is not None:
            self._record(module, name, inputs, tensor)

    def _function(self, module: nn.Module, x: Tensor, output: Tensor) -> None:
        before = self._found.calls[-1].record.facts.name if self._found.calls else "the input"
        name = f"{type(module).__name__} after {before}"
        self._record(module, name, (x,), output)

    def _record(
        self, module: nn.Module, name: str, inputs: tuple[Any, ...], output: Tensor
    ) -> None:
        calls = self._found.calls
        readable = output.is_floating_point() and output.dim() and output.numel()
        if not readable or output.layout is not torch.strided or len(calls) >= MOST_CALLS:
            return
        self._busy = True
        try:
            call = self._written(module, name, inputs, output)
        except Exception as error:
            self._found.unseen[name] = _said(error)
            return
        finally:
            self._busy = False
        calls.append(call)
        if output.requires_grad:
            output.register_hook(_keeper(call))  # type: ignore[no-untyped-call]

    def _written(
        self, module: nn.Module, name: str, inputs: tuple[Any, ...], output: Tensor
    ) -> Call:
        calls = self._found.calls
        before = calls[-1].record if calls else None
        facts = facts_of(len(calls), name, module, output, before.facts if before else None)
        own = {} if id(module) in self._measured else dict(own_parameters(module))
        values = {n: p.detach() for n, p in own.items() if p.is_floating_point() and p.numel()}
        self._measured.add(id(module))
        x = main_tensor(inputs)
        record = Record.forward(_plain(facts), output.detach(), values, x=x)
        if not self._begun and (facts.role is not None or own):
            self._begun = True
            self._found.first_input = None if x is None else x.detach()
        given = ailments(statistics(plain(x))) if x is not None and x.numel() else frozenset()
        new = ailments(record.activation) - given
        if new:
            record.causes += made_by(module, name, inputs, {}, output, list(new))
        return Call(module, record, inputs, output.requires_grad)


def _plain(facts: Facts) -> Facts:
    """The facts alone, without the probe's own about parameters."""
    return Facts(**{n: getattr(facts, n) for n in Facts.__struct_fields__})


def _keeper(call: Call) -> Callable[[Tensor], None]:
    def keep(gradient: Tensor) -> None:
        call.gradient = gradient.detach()

    return keep


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
