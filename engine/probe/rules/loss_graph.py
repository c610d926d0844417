"""What autograd's graph tells of a loss: what it was given, whoever computed it."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import History
from layerscope.engine.probe.step import MadeOf

__all__ = [
    "BOUNDED", "LEAVE_OUT", "ROUNDED", "Words", "bounded_words", "by_graph", "hinders", "least_of",
    "never_below",
]  # fmt: skip

SETTLED = 30
"""Steps after which a loss should have come down."""
NO_LOGARITHMS = frozenset({"linear", "softmax", "sigmoid", "relu"})
TWO_SIDED = frozenset({"binary_cross_entropy_with_logits"})
ROUNDED = 1e-3
"""Of a loss, by its own arithmetic."""
BOUNDED = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
"""Activations, and between what their outputs lie."""
LEAVE_OUT = "# leave the {} out of the model; take it where probabilities are shown"

Words = tuple[str, str, str]
"""Title, explanation and fix."""


def _words_of(made: MadeOf, history: History) -> tuple[Words, Severity] | None:
    """What is to be said of what a loss was given, and how severely; None where that is in
    order."""
    severity: Severity = "warning" if history.learns else "error"
    name, given = made.loss, made.given
    if made.stretched is not None:
        title = f"The target broadcasts against the output: {made.output} gives {made.stretched}"
        text = f"Every output is compared with every target, {math.prod(made.stretched)} pairs."
        return (title, text, "target = target.view_as(output)"), "error"
    if name == "nll_loss":
        return (_no_logarithms(given), "error") if given in NO_LOGARITHMS else None
    if given == "softmax" or (given == "sigmoid" and name in TWO_SIDED):
        title = f"{name} is given probabilities; it takes logits"
        text = f"The {given} is taken twice, and no answer can be sure."
        return (title, text, LEAVE_OUT.format(given)), severity
    least = _least(made)
    if least is not None and never_below(history, least):
        return bounded_words(name, given, made.output[1], least), severity
    if given == "relu" and hinders(history):
        title, text = f"{name} is given what relu cut off", "No logit can be below 0, and where "
        text += "one would be no gradient comes back."
        return (title, text, "# leave the relu out of the model's end"), "warning"
    return None


def _no_logarithms(given: str) -> Words:
    what = "what a linear layer gives" if given == "linear" else f"what {given} gives"
    return (
        f"nll_loss is given {what}; it takes logarithms of probabilities",
        "It is no loss of them: whoever makes one number larger makes it smaller, without end.",
        "# torch.nn.functional.cross_entropy(logits, target), or log_softmax before nll_loss",
    )


def hinders(history: History) -> bool:
    """Whether what a network may do without has had time to show, and it has not come far."""
    return history.number >= SETTLED and not history.fares_well


def bounded_words(name: str, kind: str, classes: int, least: float) -> Words:
    """What is said where an activation bounds what should be logits."""
    low, high = BOUNDED[kind]
    return (
        f"{name} is given what is bounded by {kind}; it takes logits",
        f"Of {classes} classes no logit can be more than {high - low:g} above another: "
        f"the loss cannot fall below {least:.3g}, however sure the network is.",
        f"# leave the {kind} out of the model's end",
    )


def _least(made: MadeOf) -> float | None:
    mean = made.loss == "cross_entropy" and made.alone
    return least_of(made.output[1], made.given) if mean and made.given in BOUNDED else None


def least_of(classes: int, kind: str) -> float:
    """The cross entropy below which none falls whose logits an activation bounds."""
    low, high = BOUNDED[kind]
    return math.log1p((classes - 1) * math.exp(low - high))


def never_below(history: History, least: float) -> bool:
    """Whether no loss was below that."""
    losses = [v for v in (*history.first, *(v for _, v in history.losses)) if math.isfinite(v)]
    return min(losses, default=least) >= least * (1 - ROUNDED)


def by_graph(history: History) -> Finding | None:
    """What the graph tells of the loss, in the newest step in which it was looked at."""
    seen = [(s.number, s.made_of) for s in history.steps if s.made_of is not None]
    last = next((f for f in reversed(history.facts) if f.shape), None)
    words = _words_of(seen[-1][1], history) if seen else None
    if words is None or last is None:
        return None
    made = seen[-1][1]
    (title, text, fix), severity = words
    return history.finding(
        "wrong_loss", severity, [last],
        title=title, explanation=text, direction="forward",
        evidence={"loss": made.loss, "output_shape": list(made.output), "given": made.given},
        threshold={}, since=next(n for n, m in seen if m == made), fix=fix,
    )  # fmt: skip
