"""Recurrent layers whose state is at its ends."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity

__all__ = ["recurrent_saturation"]

AT_ITS_ENDS = 0.8  # rms of what lies within −1…1: a state drawn evenly has 0.58
STATES = frozenset({"RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"})
LEAST_RECORDS = 3


@training_rule(
    formula=f"the state of a recurrent layer, which lies within −1…1, has an rms above "
    f"{AT_ITS_ENDS:g}, in the last recorded steps, and the loss has not come down by half",
    source="Glorot & Bengio 2010, section 3, of tanh; Le et al. 2015 of recurrent layers",
    help="Where tanh and the gates are at their ends they have no slope, and no gradient goes "
    "through them.",
    explains=("vanishing_gradient", "constant_output", "learning_rate_low"),
)
def recurrent_saturation(history: History) -> Finding | None:
    """A recurrent layer's state is at −1 and 1."""
    if not history.hinders:
        return None
    found = []
    for facts in history.facts:
        sizes = [r for s in history.recent if (r := _rms(s, facts)) is not None]
        if len(sizes) >= LEAST_RECORDS and median(sizes) > AT_ITS_ENDS:
            found.append((facts, median(sizes)))
    if not found:
        return None
    worst, rms = max(found, key=lambda each: each[1])
    since = next(s.number for s in history.steps if (_rms(s, worst) or 0.0) > AT_ITS_ENDS)
    return history.finding(
        "recurrent_saturation", "warning", [facts for facts, _ in found],
        title=f"The state of {worst.name or worst.kind} is at its ends: its rms is {rms:.2g} of 1",
        explanation="What it gives lies within −1…1, and most of it near the one or the other. "
        "There tanh has no slope: hardly a gradient goes through it, and through time none.",
        evidence={"rms": rms}, threshold={"rms": AT_ITS_ENDS}, since=since,
        fix="for p in cell.parameters(): nn.init.uniform_(p, -k, k)  # k = hidden_size ** -0.5",
    )  # fmt: skip


def _rms(step: Outline, facts: ModuleFacts) -> float | None:
    """Of a state; of no other output, and none beyond 1, as one of ReLU's or a projected one."""
    if facts.kind not in STATES:
        return None
    output = step.of(facts.index, Quantity.ACTIVATION)
    within = output is not None and output.max is not None and max(-(output.min or 0), output.max)
    return output.rms if output is not None and within and within <= 1 else None
