"""What autograd's graph tells of a loss: what it was given, whoever computed it."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.step import MadeOf, Quantity

__all__ = [
    "BELOW_ITS_LEAST", "BELOW_ZERO", "BOUNDED", "LEAVE_OUT", "NEAR", "ROUNDED", "RUN_AWAY", "Words",
    "bounded_words", "by_graph", "least_of", "never_below", "over_words", "without_end",
]  # fmt: skip

NO_LOGARITHMS = frozenset({"linear", "softmax", "sigmoid", "relu"})
TWO_SIDED = frozenset({"binary_cross_entropy_with_logits"})
ROUNDED = 1e-3
"""Of a loss, by its own arithmetic."""
BOUNDED = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "cosine": (-1.0, 1.0)}
"""Activations, and between what their outputs lie; cosines, of embeddings that are compared."""
NEAR = 0.25
"""Of the loss of equal chances: cosines times one tenth bring it no further than that."""
APART = 0.3
"""One less the mean cosine of what is given for two samples: so far apart they are told easily."""
LEAST_CLASSES = 8
"""Of fewer the loss of equal chances is not far from that of any answer."""
OF_CLASSES = frozenset({"cross_entropy", "binary_cross_entropy_with_logits"})
BELOW_ZERO = 100.0
"""Times what it was at first: a loss that no distance measures and that falls so far has no end."""
BELOW_ITS_LEAST = 10.0
"""The same of one of PyTorch's losses, which are never below zero unless turned round."""
RUN_AWAY = 10.0
"""Times what the output was at first."""
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
    if made.over is not None:  # so samples are told from one another, too
        return None if history.fares_well else (over_words(name, made.over), "error")
    if name == "kl_div":
        return (_no_divergence(), "error") if _below_zero(history) else None
    if name in TWO_SIDED and made.alone and _below_zero(history):
        return _beyond_chances(name, history), "error"
    if given == "scaled cosine" and name == "cross_entropy":
        near = _hardly_apart(made, history)
        return None if near is None else (_small_scale(made, near), "warning")
    if name == "nll_loss":
        return (_no_logarithms(given), "error") if given in NO_LOGARITHMS else None
    if (given == "softmax" and name in OF_CLASSES) or (given == "sigmoid" and name in TWO_SIDED):
        title = f"{name} is given probabilities; it takes logits"
        text = f"The {given} is taken twice, and no answer can be sure."
        return (title, text, LEAVE_OUT.format(given)), severity
    least = _least(made)
    if least is not None and never_below(history, least):
        return bounded_words(name, given, made.output[1], least), severity
    if given == "relu" and name in OF_CLASSES and history.hinders:
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


def _below_zero(history: History) -> bool:
    """Whether the loss was below zero at first, or has come there."""
    return min(history.last_loss or 0.0, history.first_loss or 0.0) < -ROUNDED


def _no_divergence() -> Words:
    return (
        "kl_div is given what softmax gives; it takes logarithms of probabilities",
        "The loss is below 0, where no divergence can be: it is least for the surest answer, not "
        "for the target.",
        "loss = torch.nn.functional.kl_div(logits.log_softmax(1), target, reduction='batchmean')",
    )


def _beyond_chances(name: str, history: History) -> Words:
    lowest = min(history.last_loss or 0.0, history.first_loss or 0.0)
    return (
        f"{name} is below 0: its targets are beyond 0…1",
        f"The loss is at {lowest:.3g}. It takes chances, of which it is never below 0; beyond them "
        "no answer is best, and it falls without end as the output grows.",
        "target = target / 255  # or by what else is its largest",
    )


def _hardly_apart(made: MadeOf, history: History) -> float | None:
    """How far the loss has ever been from that of equal chances, where that is next to nothing and
    outputs of samples differ in their directions, as last looked at; else None."""
    losses = [v for v in (*history.first, *(v for _, v in history.losses)) if math.isfinite(v)]
    classes, last = made.output[1] if len(made.output) > 1 else 0, history.last_module
    if classes < LEAST_CLASSES or last is None or not history.hinders:
        return None
    alike = [
        m.look.units.sample_correlation for s in history.steps
        if (m := s.said.get(last.index)) and m.look and m.look.units
    ]  # fmt: skip
    known = [each for each in alike if each is not None]
    far = max((abs(v - math.log(classes)) for v in losses), default=math.inf)
    return far if far < NEAR and known and known[-1] < 1 - APART else None


def _small_scale(made: MadeOf, near: float) -> Words:
    return (
        f"{made.loss} is given cosines times a small number",
        f"In no step was the loss further than {near:.2g} from that of {made.output[1]} equal "
        f"chances, {math.log(made.output[1]):.3g}, though the outputs differ in their directions: "
        "however sure the network is, its logits are hardly apart.",
        "logits = cosines / 0.1  # divided by the temperature, not multiplied",
    )


def over_words(name: str, axis: int) -> Words:
    """What is said where a softmax was taken over another axis than the classes'."""
    which = "the batch" if axis == 0 else f"axis {axis}"
    return (
        f"{name} is given a softmax over {which}",
        f"It is over {'all samples' if axis == 0 else which} that the probabilities of a class add "
        "up to one, not over the classes of a sample: the answer to one depends on which others "
        "came with it.",
        "# softmax and log_softmax over the classes: dim=1 of (samples, classes)",
    )


def bounded_words(name: str, kind: str, classes: int, least: float) -> Words:
    """What is said where an activation bounds what should be logits."""
    low, high = BOUNDED[kind]
    text = f"Of {classes} classes no logit can be more than {high - low:g} above another: "
    text += f"the loss cannot fall below {least:.3g}, however sure the network is."
    if kind == "cosine":
        return f"{name} is given cosines; it takes logits", text, "logits = cosines / 0.1"
    return (
        f"{name} is given what is bounded by {kind}; it takes logits", text,
        f"# leave the {kind} out of the model's end",
    )  # fmt: skip


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


def without_end(history: History) -> Finding | None:
    """A loss that falls far below zero and on, as the output runs away: what is asked for has no
    end."""
    last, first, began = history.last_loss, history.first_loss, history.began_at
    made = history.made_of
    if last is None or first is None or began is None:
        return None
    times = made is not None and made.times
    far = (BELOW_ITS_LEAST if times else BELOW_ZERO) * max(abs(first), abs(began))
    if last >= -far or not history.falls:
        return None
    known = [_grown(history, facts) for facts in history.facts if facts.shape]
    grown, about, was, now = max(known, key=lambda each: each[0], default=(0.0, None, 0.0, 0.0))
    if about is None or grown < RUN_AWAY:
        return None
    text = f"{about.name or 'The output'} has grown from {was:.3g} to {now:.3g} "
    text += f"meanwhile, and the loss went from {began:.3g} to {last:.3g}: the further away an "
    text += "answer, the better."
    if made is not None and times:
        text += f" {made.loss} by itself is never below 0."
    return history.finding(
        "wrong_loss", "error", [about], title="The loss falls without end", explanation=text,
        direction="forward", evidence={"grown": grown},
        threshold={"grown": RUN_AWAY, "times_first_loss": far / max(abs(first), abs(began))},
        since=next((n for n, v in history.losses if v < 0), None),
        fix="# the loss's sign, or that of a term in it: what is to be small is added",
    )  # fmt: skip


def _grown(history: History, facts: ModuleFacts) -> tuple[float, ModuleFacts, float, float]:
    """How many times larger what a module gives has become, and from what to what."""
    outputs = [s.of(facts.index, Quantity.ACTIVATION) for s in history.steps]
    sizes = [a.rms for a in outputs if a is not None and a.rms]
    return (sizes[-1] / sizes[0], facts, sizes[0], sizes[-1]) if sizes else (0.0, facts, 0.0, 0.0)


def by_graph(history: History) -> Finding | None:
    """What the graph tells of the loss, in the newest step in which it was looked at."""
    seen = [(s.number, s.made_of) for s in history.steps if s.made_of is not None]
    last = history.last_module
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
