"""The loss: what it was asked, and where it starts against answers that look at nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.preflight.checks.base import check
from layerscope.engine.probe.preflight.functions import LossCall
from layerscope.engine.probe.preflight.subject import Subject
from layerscope.engine.probe.task import are_probabilities

__all__ = ["nonfinite_loss", "output_scale", "wrong_loss"]

CLASS_RATIO = 3.0
"""Of a loss in logarithms, as cross entropy: healthy default networks start below 1.5."""
NUMBER_RATIO = 30.0
"""Of a loss in numbers: outputs five times too large already give 26 in squares."""
ERROR_RATIO = 3000.0
"""As the rule of the same name on experiments: none that started above trained."""
HUGE = 1e4
"""Outputs of this rms make the loss overflow by themselves."""


@check(
    formula="output and target of different shapes, or an operation that pairs each sample with "
    "each; probabilities where logits are expected, or the other way round",
    source="torch.nn.functional's own contracts",
    explains=("output_scale",),
)
def wrong_loss(subject: Subject) -> Finding | None:
    """The loss is computed of something else than was meant."""
    if subject.look.failure is not None and subject.look.failure.where != "backward":
        return None
    return _shapes(subject) or _meaning(subject)


def _shapes(subject: Subject) -> Finding | None:
    uneven = [
        (tuple(c.output.shape), tuple(c.target.shape), c.name)
        for c in subject.look.loss_calls
        if c.entry_by_entry and c.output.shape != c.target.shape
    ]
    pairs = uneven or [(*o.shapes, o.operation) for o in subject.look.outer]
    if not pairs:
        return None
    output, target, name = pairs[0]
    result = tuple(torch.broadcast_shapes(output, target))  # type: ignore[no-untyped-call]
    same = torch.Size(output).numel() == torch.Size(target).numel()
    return subject.finding(
        "wrong_loss", "error", (),
        f"Output {output} and target {target} broadcast to {result} in {name}",
        "Every output is compared with every target: the best that can be learned is their mean."
        if same
        else "They are of different sizes; entries are repeated until they fit.",
        {"output_shape": list(output), "target_shape": list(target),
         "broadcast_shape": list(result), "operation": name, "same_size": same},
        {"output_shape": "equal to target_shape"}, direction="forward",
    )  # fmt: skip


def _softmax_twice(call: LossCall, _: nn.Module) -> str | None:
    if not are_probabilities(call.output):
        return None
    return (
        "cross_entropy applies log_softmax itself, and the outputs are probabilities already: a "
        "softmax of a softmax, whose gradient is small and whose loss cannot come near 0. Hand it "
        "the logits."
    )


def _no_log(call: LossCall, _: nn.Module) -> str | None:
    axis = 1 if call.output.dim() > 1 else 0
    sums = call.output.double().logsumexp(axis)
    if torch.allclose(sums, torch.zeros_like(sums), atol=1e-2):
        return None
    return (
        "nll_loss expects logarithms of probabilities; the exponentials of these outputs add up "
        f"to {float(sums.exp().mean()):.3g}, not to 1. Apply log_softmax, or use cross_entropy."
    )


def _sigmoid_twice(call: LossCall, last: nn.Module) -> str | None:
    low, high = float(call.output.min()), float(call.output.max())
    if not isinstance(last, nn.Sigmoid):
        return None
    return (
        "binary_cross_entropy_with_logits applies a sigmoid itself, and all outputs lie in "
        f"{low:.3g} to {high:.3g}, as after a sigmoid. Hand it the logits."
    )


MEANINGS: Mapping[Any, Callable[[LossCall, nn.Module], str | None]] = {
    F.cross_entropy: _softmax_twice, F.nll_loss: _no_log,
    F.binary_cross_entropy_with_logits: _sigmoid_twice,
}  # fmt: skip


def _meaning(subject: Subject) -> Finding | None:
    last = subject.look.calls[-1].module if subject.look.calls else subject.model
    for call in subject.look.loss_calls:
        told = MEANINGS[call.function](call, last) if call.function in MEANINGS else None
        if told is not None and bool(torch.isfinite(call.output).all()):
            return subject.finding(
                "wrong_loss", "warning", _last(subject),
                f"{call.name} is given what it does not expect", told,
                {"loss": call.name, "output_min": float(call.output.min()),
                 "output_max": float(call.output.max())},
                {}, direction="forward",
            )  # fmt: skip
    return None


def _last(subject: Subject) -> tuple[str, ...]:
    records = subject.look.records
    return (records[-1].facts.name,) if records else ()


@check(
    formula="the loss is NaN or ±Inf where the output is finite",
    source="IEEE 754",
    explains=("nonfinite", "output_scale", "exploding_gradient", "vanishing_gradient"),
)
def nonfinite_loss(subject: Subject) -> Finding | None:
    """A loss that is no number, though the output is."""
    loss, cause = subject.look.loss, subject.look.loss_cause
    output = subject.look.output
    if loss is None or loss - loss == 0.0 or output is None:
        return None
    if not bool(output.isfinite().all()) or _overflowed(loss, output):
        return None
    return subject.finding(
        "nonfinite", "error", _last(subject), f"The loss is {loss:g}, the output is finite",
        f"{cause.said}." if cause else "The operation in the loss that made it was not found.",
        {"loss": f"{loss:g}", "operation": cause and cause.operation,
         "operands": cause and ", ".join(g.text for g in cause.operands)},
        {"nonfinite_entries": 0}, direction="forward",
    )  # fmt: skip


def _rms(output: Tensor) -> float:
    return float(output.double().square().mean().sqrt())


def _overflowed(loss: float, output: Tensor) -> bool:
    """Infinite because of finite outputs that are huge."""
    return loss == math.inf and _rms(output) > HUGE and bool(output.isfinite().all())


@check(
    formula=f"loss above {CLASS_RATIO:g} times that of every class alike (losses of numbers: "
    f"{NUMBER_RATIO:g} times that of zeros and of the targets' mean; error: {ERROR_RATIO:g})",
    source="Karpathy 2019, A recipe for training neural networks (verify the loss at init)",
)
def output_scale(subject: Subject) -> Finding | None:
    """The untrained answers are far worse than any that look at nothing."""
    loss, reference, output = subject.look.loss, subject.reference, subject.look.output
    if loss is None or reference is None or output is None:
        return None
    if loss - loss != 0.0 and not _overflowed(loss, output):
        return None
    least = max(reference.constant, reference.neutral)
    if least <= 0:
        return None
    ratio, classes = loss / least, reference.classes
    limit = NUMBER_RATIO if classes is None else CLASS_RATIO
    if ratio <= limit:
        return None
    severity: Severity = "error" if ratio > ERROR_RATIO else "warning"
    rms = _rms(output)
    named = f"ln {classes} = {reference.neutral:.3g}, all classes alike" if classes else (
        f"{reference.constant:.3g} for the targets' mean and {reference.neutral:.3g} for zeros"
    )  # fmt: skip
    return subject.finding(
        "output_scale", severity, _last(subject),
        f"The loss starts {ratio:.2g} times above that of an answer that looks at nothing"
        if math.isfinite(ratio)
        else "The loss overflows, the outputs do not",
        f"It is {loss:.3g}, against {named}. The outputs have rms {rms:.3g}: the first steps only "
        "undo their scale.",
        {"loss": loss if math.isfinite(loss) else None, "constant_loss": reference.constant,
         "neutral_loss": reference.neutral,
         "classes": classes, "ratio": ratio if math.isfinite(ratio) else None, "output_rms": rms},
        {"warning_ratio": limit, "error_ratio": ERROR_RATIO}, direction="forward",
    )  # fmt: skip
