"""Layers that follow one another with nothing between them, or with a softmax."""

from __future__ import annotations

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import holder, oddity, severity_of

__all__ = ["activations"]


@training_rule(
    formula="no layer of those in the graph between input and loss is followed by an activation "
    "before the next one, and one that is as wide as what goes in or comes out is among them; or a "
    "softmax stands between two layers, twice or more, or where nothing is learned (a note unless "
    "the loss has not come down by half)",
    source="Goodfellow, Bengio & Courville 2016, Deep learning, section 6.1: linear maps of linear "
    "maps",
    help="However many layers: without an activation all of them compute one linear map. A "
    "bottleneck, whose rank is meant, is left alone; so are a softmax's weights of a sum, as of "
    "attention, which no layer's matrix multiplies.",
    explains=("constant_output", "learning_rate_low", "rank_collapse", "vanishing_gradient",
              "vanishing_activation", "mean_shift"),
)  # fmt: skip
def activations(history: History) -> Finding | None:
    """No activation between layers, or a softmax as one."""
    return _linear(history) or _softmax(history)


def _linear(history: History) -> Finding | None:
    seen = oddity(history, "linear")
    if seen is None:
        return None
    since, odd = seen
    where = holder(history, odd.behind)
    entered, width, left = odd.before
    text = "Between the layers that get gradients nothing but sums and constant factors is found: "
    text += f"together they compute one linear map. {_named(where)} makes {width} numbers of "
    text += f"{entered}, and the next layer {left} of these, which one layer could do."
    return history.finding(
        "activations", severity_of(history), [] if where is None else [where],
        title="The network is linear: there is no activation between its layers",
        explanation=text, evidence={"widths": list(odd.before)},
        threshold={}, since=since, direction="forward",
        fix="x = torch.relu(x)  # after each layer but the last; its result is what goes on",
    )  # fmt: skip


def _softmax(history: History) -> Finding | None:
    seen = oddity(history, "hidden softmax")
    if seen is None:
        return None
    since, odd = seen
    where, (many,) = holder(history, odd.behind), odd.after
    severity = severity_of(history) if many > 1 or not history.learns else "info"
    return history.finding(
        "activations", severity, [] if where is None else [where],
        title=f"A softmax stands between layers, {'once' if many == 1 else f'{many} times'}",
        explanation=f"It is taken of what {_named(where)} gives, {odd.before}, and the next layer "
        f"multiplies it: {odd.before[-1]} numbers that add up to one are "
        f"{1 / odd.before[-1]:.2g} each on average, and hardly differ between samples.",
        evidence={"shape": list(odd.before), "softmaxes": many}, threshold={}, since=since,
        direction="forward", fix="x = torch.relu(x)  # in place of the softmax",
    )  # fmt: skip


def _named(where: object) -> str:
    return str(getattr(where, "name", "") or getattr(where, "kind", "") or "one")
