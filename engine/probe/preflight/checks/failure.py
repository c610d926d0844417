"""The user's own code raised: then little else can be said."""

from __future__ import annotations

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.preflight.checks.base import check
from layerscope.engine.probe.preflight.subject import Subject

__all__ = ["failed_pass"]

NOTHING_MORE = (
    "no_gradient", "frozen", "output_scale", "vanishing_gradient", "vanishing_activation",
    "wrong_loss",
)  # fmt: skip


@check(
    formula="the forward pass, the loss or the backward pass raises an error",
    source="PyTorch's own errors, with the module in which they were raised",
    explains=NOTHING_MORE,
)
def failed_pass(subject: Subject) -> Finding | None:
    """The first error, with the module in which it happened."""
    failure = subject.look.failure
    if failure is None:
        return None
    output = subject.look.output
    place = failure.module or type(subject.model).__name__
    words = {
        "forward": (f"The forward pass fails in {place}", "forward"),
        "loss": ("The loss cannot be computed", "forward"),
        "backward": ("The backward pass fails", "backward"),
    }
    title, direction = words[failure.where]
    told = failure.error if failure.error.endswith(".") else f"{failure.error}."
    if failure.inputs:
        told += f" It was given shapes {', '.join(map(str, failure.inputs))}."
    if failure.where == "loss" and output is not None:
        told += f" The model's output has shape {tuple(output.shape)}."
    if failure.where == "backward" and failure.module is not None:
        told += f" The last gradient that arrived was that by the output of {failure.module}."
    if failure.line:
        told += f" Raised at {failure.line}"
    return subject.finding(
        "failed_pass", "error", () if failure.module is None else (failure.module,), title, told,
        {"error": failure.error, "line": failure.line, "where": failure.where,
         "input_shapes": [list(s) for s in failure.inputs]},
        direction="backward" if direction == "backward" else "forward",
    )  # fmt: skip
