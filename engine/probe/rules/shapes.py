"""Axes that do not stand for what they should: mixed up by a view, normed or weighed over none."""

from __future__ import annotations

import math
from collections.abc import Callable

from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import holder, oddity, severity_of
from layerscope.engine.probe.step import Oddity, Outline

__all__ = ["norm_statistics", "reshape", "softmax_axis"]

FEW = 4  # values of a unit: of two each is 1 above the mean or 1 below it, whatever they were
MOSTLY = 0.5  # of the recorded steps


@training_rule(
    formula="a view, somewhere between the input and the loss, after which axes stand in another "
    "order with their numbers as they were, or which cuts through an axis that has no such parts "
    "(a note unless the loss has not come down by half)",
    source="PyTorch's documentation of Tensor.view",
    help="Whole batches are in disorder after it: what is learned of a sample is of others. A "
    "network that fares well all the same is not accused.",
    explains=("constant_output", "learning_rate_low", "rank_collapse", "vanishing_gradient"),
)
def reshape(history: History) -> Finding | None:
    """A view where a transpose was meant."""
    seen = oddity(history, "view")
    if seen is None:
        return None
    since, view = seen
    where = holder(history, view.behind)
    return history.finding(
        "reshape", severity_of(history), [] if where is None else [where],
        title=f"A view of {view.before} as {view.after} mixes axes up",
        explanation=f"It is taken of what {where.name or where.kind if where else 'the network'} "
        "gives. A view keeps numbers in the order in which they lie: it exchanges no axes, and "
        "what was one sample's, one moment's or one channel's is another's afterwards.",
        evidence={"before": list(view.before), "after": list(view.after), "behind": view.behind},
        threshold={}, since=since, direction="forward", fix=_fix(view),
    )  # fmt: skip


def _fix(view: Oddity) -> str:
    before, after = view.before, view.after
    if sorted(before) != sorted(after) or len(set(before)) != len(before):
        return "# x.transpose or x.permute before the view, by which axes are exchanged"
    order = [before.index(n) for n in after]
    moved = [place for place, axis in enumerate(order) if axis != place]
    if len(moved) == 2:
        return f"x = x.transpose({moved[0]}, {moved[1]})  # in place of the view"
    return f"x = x.permute({', '.join(map(str, order))})  # in place of the view"


@training_rule(
    formula="a softmax over the axis of samples, of something that is not as long along the next "
    "one, or over an axis of length 1 (a note unless the loss has not come down by half)",
    source="PyTorch's documentation of softmax: dim",
    help="Over the samples the answer to one depends on which others came with it; over a single "
    "number softmax is 1, whatever that is.",
    explains=("constant_output", "learning_rate_low", "rank_collapse", "vanishing_gradient"),
)
def softmax_axis(history: History) -> Finding | None:
    """A softmax over an axis that tells nothing."""
    seen = oddity(history, "softmax of one", "softmax over samples")
    if seen is None:
        return None
    since, odd = seen
    where = holder(history, odd.behind)
    one = odd.what == "softmax of one"
    title = f"A softmax of {odd.before} is taken over {'a single number' if one else 'the samples'}"
    text = f"It is taken behind {where.name or where.kind}. " if where else ""
    text += "It is 1, whatever is asked, and no gradient comes back." if one else (
        "What it gives adds up to one over the batch: the answer to one sample depends on which "
        "others came with it."
    )  # fmt: skip
    return history.finding(
        "softmax_axis", severity_of(history), [] if where is None else [where],
        title=title, explanation=text, evidence={"shape": list(odd.before), "behind": odd.behind},
        threshold={}, since=since, direction="forward",
        fix="# a sigmoid, of one number; or the axis of what is to be told apart" if one
        else "# softmax(dim=-1), or whichever axis holds what is to be told apart",
    )  # fmt: skip


@training_rule(
    formula=f"a batch norm in training mode takes mean and variance of fewer than {FEW} values of "
    "a unit, or a layer norm, or a group norm in each group, of a single one, in most recorded "
    "steps, and the loss has not come down by half",
    source="Wu & He 2018, Group normalization: the error of small batches",
    help="Of two values one is as far above their mean as the other below it: nothing but their "
    "order is left. Of one nothing is.",
    explains=("constant_output", "learning_rate_high", "learning_rate_low", "rank_collapse",
              "saturation", "vanishing_gradient", "vanishing_activation", "dead_units"),
)  # fmt: skip
def norm_statistics(history: History) -> Finding | None:
    """A norm over too few numbers."""
    if not history.hinders:
        return None
    found = []
    for facts in history.facts:
        known = _NORMS.get(facts.kind)
        many = [n for s in history.steps if known and (n := known(s, facts)) is not None]
        few = [n for n in many if n < (FEW if known is _of_batch else 2)]
        if few and len(few) > MOSTLY * len(many):
            found.append((facts, max(few)))
    groups = oddity(history, "norm of one")
    norm = None if groups is None else holder(history, groups[1].behind)
    if norm is not None and norm.role == "norm":
        found.append((norm, 1))
    if not found:
        return None
    least = min(n for _, n in found)
    numbers = "a single number" if least == 1 else f"{least} numbers"
    return history.finding(
        "norm_statistics", "warning" if history.learns else "error", [f for f, _ in found],
        title=f"{listed([f.name or f.kind for f, _ in found], 3)} norms {numbers}",
        explanation="Less its own mean a single number is 0: its bias is all that a norm of one "
        "gives, whatever comes in." if least == 1 else f"So many of each unit come in a step. Of "
        f"{least} numbers mean and variance are mostly chance, and what a sample gives depends on "
        "the others beside it.",
        evidence={"values": least, "norms": len(found)}, threshold={"values": FEW},
        since=history.steps[0].number, direction="forward",
        fix="# larger batches, or GroupNorm or LayerNorm, which norm each sample by itself"
        if least > 1 else "# a norm over more than one number, or none",
    )  # fmt: skip


def _of_batch(step: Outline, facts: ModuleFacts) -> int | None:
    """Of each unit in a step, where the norm takes them from the batch."""
    said = step.said.get(facts.index)
    if said is None or not said.training or len(said.shape) < 2:
        return None
    return math.prod(said.shape) // said.shape[1]


def _of_layer(_: Outline, facts: ModuleFacts) -> int | None:
    """Of a layer norm: the numbers that it has a weight for."""
    return next((math.prod(p.shape) for p in facts.parameters.values()), None)


_NORMS: dict[str, Callable[[Outline, ModuleFacts], int | None]] = {
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"), _of_batch),
    "LayerNorm": _of_layer,
}
"""Of how many numbers norms of PyTorch's take mean and variance."""
