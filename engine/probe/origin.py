"""The first NaN or infinity of a training: which module, which direction, and from what."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from layerscope.engine.basis.text import dtype_name
from layerscope.engine.execution.provenance import ailments
from layerscope.engine.probe.again import made_by, made_by_loss, random_state
from layerscope.engine.probe.calls import Call, Masks
from layerscope.engine.probe.facts import leaves, own_parameters
from layerscope.engine.probe.hooks import BadGradient
from layerscope.engine.probe.outputs import fresh, main_tensor, tensors
from layerscope.engine.probe.step import Origin, Quantity
from layerscope.engine.probe.watched import Key, Leaf, Tracked, Watched
from layerscope.engine.statistics import Statistics, statistics
from layerscope.engine.statistics.finite import is_finite, nonfinite_places
from layerscope.engine.statistics.many import plain

__all__ = ["backward_origin", "forward_origin", "late_origin", "loss_origin", "run_again"]


def forward_origin(step: int, call: Call) -> Origin:
    """Of a call whose output is the step's first that is not finite.

    Where its parameters were not finite before, it is the optimiser's work, or the
    initialisation's; where its input was not, and no call made that, it came with the data (of the
    first call) or from an operation between modules.
    """
    leaf = call.leaf
    for name, parameter in own_parameters(leaf.module):
        if not is_finite(parameter.detach()):
            return _of_parameter(step, leaf, name, parameter.detach())
    given = [t for t in tensors(call.inputs) if t.is_floating_point()]
    words = _kinds(call.output)
    evidence: dict[str, object] = {"output": _told(call.output)}
    evidence |= {f"input {i}": _told(t) for i, t in enumerate(given)}
    evidence |= {n: _told(p) for n, p in own_parameters(leaf.module)}
    if any(each is call.output for each in tensors(call.inputs)):
        what = f"{words} in the output of {_name(leaf)}, which is the tensor that went in: made in "
        what += "place, or by an operation before it that is no module"
    elif nonfinite_places(given):
        before = "the data" if call.first else "an operation before it that is no module"
        what = f"{words} already in the input of {_name(leaf)}, from {before}"
    else:
        what = f"{words} in the output of {_name(leaf)}, whose input and parameters are finite"
    return Origin(
        step, "forward", leaf.name, what, call.line or leaf.line, _operands(call), evidence
    )


def _operands(call: Call) -> str | None:
    """Which operation made it, with its operands."""
    asked = ailments(_statistics(call.output)) - {"0"}
    made = made_by(
        call.leaf.module, _name(call.leaf), call.inputs, call.named, call.output, asked
    )  # fmt: skip
    return "; ".join(each.said for each in made) or None


def run_again(
    watched: Watched, given: tuple[tuple[Any, ...], dict[str, Any]], masks: Masks
) -> Call | None:
    """The call to name, of the whole forward pass run again on a copy of the model; None where
    nothing bad comes of it a second time but, perhaps, of ``masks``, which learn of this pass.

    For steps in which nobody looked at every output. Inputs and random states stay as they are.
    """
    twin = copy.deepcopy(watched.model)
    names = {id(module): name for name, module in leaves(twin)}
    own = {leaf.name: leaf for leaf in watched.leaves.values()}
    found: list[Call] = []
    called = 0

    def hook(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        nonlocal called
        called += 1
        tensor = main_tensor(output)
        if found or tensor is None:
            return
        if is_finite(tensor):
            masks.passed(inputs, named)
            return
        leaf = own[names[id(module)]]
        bad = masks.named_for(Call(leaf, inputs, named, tensor, leaf.line, first=called == 1))
        if bad is not None:
            found.append(bad)

    handles = [m.register_forward_hook(hook, with_kwargs=True) for _, m in leaves(twin)]
    masks.clear()
    with random_state(), torch.no_grad():
        left = main_tensor(twin(*fresh(given[0]), **fresh(given[1])))
    for handle in handles:
        handle.remove()
    if masks.call is not None:
        masks.left = left
    return found[0] if found else None


def _of_parameter(step: int, leaf: Leaf, name: str, parameter: Tensor) -> Origin:
    who = f"{_name(leaf)}.{name}"
    evidence: dict[str, object] = {name: _told(parameter)}
    if step == 1:
        what = f"{_kinds(parameter)} in {who} before the first step"
        return Origin(step, "forward", leaf.name, what, leaf.line, None, evidence)
    what = (
        f"{_kinds(parameter)} in {who} since the optimiser's step {step - 1}, "
        "whose gradients were finite"
    )
    return Origin(step - 1, "optimizer", leaf.name, what, leaf.line, None, evidence)


def loss_origin(
    step: int,
    loss: float,
    function: Callable[..., Any] | None,
    given: Sequence[Any],
    named: Mapping[str, Any],
    *,
    masked: bool,
) -> Origin:
    """The loss is not finite though no module's output was seen that is not, masks left out.

    ``given`` and ``named`` are what the loss ``function`` was last called with through the probe,
    if it was.
    """
    evidence: dict[str, object] = {"loss": f"{loss:g}"}
    said = None
    if function is not None and given:
        evidence |= {
            name: _told(each) for name, each in zip(("output", "target"), given, strict=False)
        }
        made = made_by_loss(function, given, named, loss)
        said = "; ".join(each.said for each in made) or None
    return Origin(step, "loss", None, _loss_alone(loss, masked), None, said, evidence)


def _loss_alone(loss: float | None, masked: bool) -> str:
    but = " but for −Inf as a mask gives" if masked else ""
    return f"the loss is {loss:g}, and no module's output was seen that is not finite{but}"


def backward_origin(
    step: int, gradient: BadGradient | None, bad: Sequence[Tracked], calls: Sequence[Leaf]
) -> Origin:
    """Where gradients stopped being finite, going back: by the first bad one by a module's output,
    where that was looked at, else by the parameters whose gradients are ``bad``."""
    names = [f"{t.leaf.name}.{t.name}".lstrip(".") for t in bad]
    evidence: dict[str, object] = {"parameters": names[:10]}
    if gradient is not None:
        leaf = gradient.leaf
        evidence["gradient"] = _told(gradient.gradient)
        if gradient.before is None:
            what = f"{_kinds(gradient.gradient)} in the gradient by the output of {_name(leaf)}"
            what += ", the first that came back from the loss"
            return Origin(step, "backward", leaf.name, what, leaf.line, None, evidence)
        maker, before = gradient.before
        evidence["gradient before"] = _told(before)
        what = (
            f"{_kinds(gradient.gradient)} made going back from the output of {_name(maker)}, "
            f"whose gradient is finite, to that of {_name(leaf)}"
        )
        return Origin(step, "backward", maker.name, what, maker.line, None, evidence)
    order = {id(leaf): place for place, leaf in enumerate(calls)}
    tracked = max(bad, key=lambda t: order.get(id(t.leaf), -1))
    own = tracked.parameter.grad
    who = f"{_name(tracked.leaf)}.{tracked.name}"
    evidence |= {"gradient": _told(own), "value": _told(tracked.parameter)}
    what = f"{_kinds(own)} in the gradient of {who}, the last module with one going forward"
    return Origin(step, "backward", tracked.leaf.name, what, tracked.leaf.line, None, evidence)


def late_origin(step: int, bad: Sequence[Key], loss: float | None, *, masked: bool) -> Origin:
    """Of a step whose figures say that these tensors are not finite, outputs of masks left out: the
    parameters come first, then the outputs going forward, then the gradients going back."""
    ranked = sorted(bad, key=_when)
    first = ranked[0] if ranked else None
    if first is None:
        return Origin(step, "loss", None, _loss_alone(loss, masked))
    leaf = first.leaf
    direction, what = _LATE[first.quantity]
    at = step - 1 if first.quantity is Quantity.VALUE and step > 1 else step
    names = list(dict.fromkeys(key.leaf.name for key in ranked))
    return Origin(
        at, direction, leaf.name, f"{what} {_name(leaf)}", leaf.line, None, {"modules": names[:10]}
    )


_LATE = {
    Quantity.VALUE: ("optimizer", "the optimiser's step left NaN or infinities in a parameter of"),
    Quantity.INPUT: ("forward", "NaN or infinities in the data that went into"),
    Quantity.ACTIVATION: ("forward", "NaN or infinities first in the output of"),
    Quantity.GRADIENT: ("backward", "NaN or infinities first, going back, in the gradient of"),
    Quantity.UNCLIPPED: ("backward", "NaN or infinities in a gradient of the parameters of"),
    Quantity.PARAMETER_GRADIENT: (
        "backward", "NaN or infinities in a gradient of the parameters of",
    ),
    Quantity.UPDATE: ("optimizer", "the optimiser's step left NaN or infinities in a parameter of"),
}  # fmt: skip
"""Direction and words, by what is not finite; the first of them came first."""
_ORDER = list(_LATE)


def _when(key: Key) -> tuple[int, int]:
    place = key.leaf.index
    back = key.quantity in (Quantity.GRADIENT, Quantity.UNCLIPPED, Quantity.PARAMETER_GRADIENT)
    return _ORDER.index(key.quantity), -place if back else place


def _name(leaf: Leaf) -> str:
    return leaf.name or type(leaf.module).__name__


def _kinds(tensor: Tensor | None) -> str:
    """How many of which, in words."""
    if tensor is None:
        return "a non-finite value"
    s = _statistics(tensor)
    found = [(s.nan, "NaN"), (s.posinf, "+Inf"), (s.neginf, "−Inf")]
    parts = [f"{count} {what}" for count, what in found if count]
    return f"{' and '.join(parts)} among {s.count}"


def _told(tensor: Any) -> dict[str, object]:
    """Figures of a tensor for a finding."""
    if not isinstance(tensor, Tensor) or not (tensor.is_floating_point() or tensor.is_complex()):
        return {}
    s = _statistics(tensor)
    return {
        "shape": list(tensor.shape), "dtype": dtype_name(tensor.dtype),
        "nan": s.nan, "inf": s.posinf + s.neginf, "mean": s.mean, "std": s.std,
        "min": s.min, "max": s.max,
    }  # fmt: skip


def _statistics(tensor: Tensor) -> Statistics:
    with torch.no_grad():
        return statistics(plain(tensor))
