"""Answers that are given away, and attention to what says nothing."""

from __future__ import annotations

import math

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.oddities import oddity

__all__ = ["padding_mask", "target_leak"]

KNOWN = 0.2  # of the loss of equal chances: so little is left where an answer has only to be copied


@training_rule(
    formula="a column of the inputs is the label, in all looks at a loss that is called through "
    "the probe (a note, where it is a number); or targets are the tokens that go in, place by "
    f"place, and the loss has come below {KNOWN:g} of equal chances'; or each is the token of the "
    "next place, and PyTorch's attention sees all places, by no mask",
    source="Kaufman et al. 2012, Leakage in data mining",
    help="A loss that falls as it should, by answers that are there to be copied. Who shifts the "
    "targets within the loss asks for one less than there are, and is left alone.",
)
def target_leak(history: History) -> Finding | None:
    """What is asked for is among what goes in."""
    return _tokens(history) or _column(history)


def _tokens(history: History) -> Finding | None:
    seen = oddity(history, "targets as given", "next ones seen")
    last, made = history.last_module, history.made_of
    if seen is None or last is None or made is None or history.last_loss is None:
        return None
    since, odd = seen
    copied = odd.what == "targets as given"
    if copied and history.last_loss > KNOWN * math.log(made.output[1]):
        return None
    where = next((f for f in history.facts if f.name == odd.behind), last)
    return history.finding(
        "target_leak", "warning", [where],
        title="The targets are what goes in, place by place" if copied
        else f"{where.name or where.kind} sees the tokens that are to be predicted",
        explanation=f"In every look the {odd.before} targets were the inputs themselves, and the "
        f"loss has come to {history.last_loss:.3g}: there is nothing to predict, only to copy."
        if copied
        else f"In every look each of the {odd.before} targets was the next place's token, and "
        "attention was called without a mask: a place looks its answer up.",
        evidence={"shape": list(odd.before)}, threshold={"of_equal_chances": KNOWN}, since=since,
        direction="forward",
        fix="loss = loss_function(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())"
        if copied
        else "mask = torch.nn.Transformer.generate_square_subsequent_mask(x.shape[1])  # attn_mask",
    )  # fmt: skip


def _column(history: History) -> Finding | None:
    seen = oddity(history, "label in a column", "value in a column")
    first = history.facts[0] if history.facts else None
    if seen is None or first is None:
        return None
    since, odd = seen
    label, (place,) = odd.what.startswith("label"), odd.after
    return history.finding(
        "target_leak", "warning" if label else "info", [first],
        title=f"Column {place} of the input is the target",
        explanation=f"In every look it was, for all {odd.before[0]} samples: whatever else the "
        f"{odd.before[1] - 1} other columns tell is not needed.",
        evidence={"column": place, "shape": list(odd.before)}, threshold={}, since=since,
        direction="forward",
        fix=f"x = torch.cat([x[:, :{place}], x[:, {place + 1}:]], 1)  # without the target",
    )  # fmt: skip


@training_rule(
    formula="the keys that PyTorch's attention is left to see hold one and the same token, or "
    "number, in all samples and looks, and those that its key_padding_mask hides others",
    source="PyTorch's documentation of MultiheadAttention: key_padding_mask",
    help="True hides a key. A mask of the other meaning leaves padding alone to be attended to.",
    explains=("constant_output", "learning_rate_low", "rank_collapse", "vanishing_gradient"),
)
def padding_mask(history: History) -> Finding | None:
    """A padding mask that hides all but the padding."""
    seen = oddity(history, "padding attended")
    if seen is None:
        return None
    since, odd = seen
    where = [f for f in history.facts if f.name == odd.behind]
    many, (left,) = math.prod(odd.before), odd.after
    return history.finding(
        "padding_mask", "warning" if history.learns else "error", where,
        title=f"{odd.behind} attends to padding alone: its mask is the other way round",
        explanation=f"Of the {many} places in step {since} it may see {left}, and all of these "
        "hold the same; what its key_padding_mask hides differs. True hides a key.",
        evidence={"shape": list(odd.before), "seen": left}, threshold={}, since=since,
        direction="forward", fix="key_padding_mask = ~key_padding_mask  # True: is left out",
    )  # fmt: skip
