"""Parameters that get no gradient, or one that they had already."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from itertools import takewhile
from operator import and_, attrgetter

from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import FEW_STEPS, History, Weight
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Quantity

__all__ = ["frozen", "stale_gradients"]

LEAST_RECORDS = 3  # recorded steps before anything is said to never happen


@training_rule(
    formula="a backward pass adds to a gradient that the optimiser has used and nobody has changed "
    f"since, in each of the last {LEAST_RECORDS} recorded steps or more",
    source="PyTorch's documentation of Optimizer.zero_grad",
    help="Backward passes between two steps of the optimiser are deliberate accumulation.",
    explains=("learning_rate_high", "nonfinite", "exploding_gradient", "exploding_activation",
              "saturation", "dead_units", "output_scale", "mean_shift"),
)  # fmt: skip
def stale_gradients(history: History) -> Finding | None:
    """Gradients are never set to zero: every step repeats all steps before."""
    taken = [s for s in history.steps if not s.skipped]
    stale = list(takewhile(attrgetter("stale"), reversed(taken)))[::-1]
    if len(stale) < LEAST_RECORDS:
        return None
    where = [f for f in history.facts if any(p.group is not None for p in f.parameters.values())]
    return history.finding(
        "stale_gradients", "warning" if history.learns else "error", where,
        title=f"{stale[-1].stale} parameters step by gradients that were used before",
        explanation=f"Since step {stale[0].number} the backward pass adds to what the optimiser "
        "has used already: nobody sets gradients to zero after its step.",
        evidence={"parameters": stale[-1].stale, "recorded_steps": len(stale)},
        threshold={"recorded_steps": LEAST_RECORDS}, since=stale[0].number, direction="backward",
        fix="optimizer.zero_grad()  # once a step",
    )  # fmt: skip


def _without(history: History) -> list[Weight]:
    """Parameters that ask for a gradient, are the optimiser's, and never got one."""
    called = {m.index for s in history.steps for m in s.modules}
    return [
        w for w in history.weights()
        if w.facts.trains and w.facts.group is not None and w.module.index in called
        and not history.recorded(w, Quantity.PARAMETER_GRADIENT)
    ]  # fmt: skip


def _outside(history: History) -> list[Weight]:
    """Parameters that get a gradient, are in no optimiser, and that nobody else changes: whoever
    does so as a step begins may come before they are read, and then they are not told of."""
    return [
        w for w in history.weights()
        if w.facts.trains and w.facts.group is None and history.has_optimizer
        and len(values := history.seen(w, Quantity.VALUE)) >= LEAST_RECORDS
        and len({rms for _, rms in values}) < 2
    ]  # fmt: skip


def _behind(history: History, outside: list[Weight]) -> bool:
    """Whether what is in no optimiser comes last: the output is made by what never learns."""
    called = {m.index for s in history.steps for m in s.modules}
    last = max((w.module.index for w in history.weights() if w.module.index in called), default=-1)
    return any(w.module.index == last for w in outside)


def _in_their_place(history: History, outside: list[Weight]) -> int:
    """How many parameters wait in the optimisers that are none of the model's and never get a
    gradient, where there is one of each outside one's shape: those of modules that were replaced
    since. Else 0."""
    idle = reduce(and_, (Counter(s.idle_shapes) for s in history.steps))
    return 0 if Counter(w.facts.shape for w in outside) - idle else idle.total()


def _hidden(history: History) -> tuple[str, ...]:
    """Parameters that nobody changes, with a gradient in all of the last records."""
    last = history.steps[-LEAST_RECORDS:]
    always = set.intersection(*(set(s.hidden) for s in last))
    return tuple(name for name in last[-1].hidden if name in always)


def _of_nobody(history: History, names: tuple[str, ...]) -> Finding:
    severity: Severity = "error"
    if history.learns:
        severity = "info" if history.fares_well else "warning"
    return history.finding(
        "frozen", severity, [],
        title=f"{len(names)} parameters are in no optimiser: PyTorch does not find them",
        explanation=f"{listed(list(names), 4)} get gradients, have not changed, and lie in a list "
        "or a dictionary of Python's: parameters() does not know of them, nor does what is made by "
        "it.",
        evidence={"parameters": list(names[:20]), "count": len(names)},
        threshold={"recorded_steps": LEAST_RECORDS},
        since=history.steps[0].number, direction="backward",
        fix="self.… = nn.ModuleList(…)  # or nn.ModuleDict, nn.ParameterList",
    )  # fmt: skip


def _at_rest(history: History) -> list[Weight]:
    """Parameters with a gradient whose group has had a learning rate of 0, unlike others."""
    rates = [s.learning_rates for s in history.steps if s.learning_rates]
    still = {i for i in range(min(map(len, rates), default=0)) if not any(r[i] for r in rates)}
    if not rates or len(still) == len(rates[0]):
        return []  # where nothing moves the rate itself is too low
    return [
        w for w in history.weights()
        if w.facts.trains and w.facts.group in still
        and any(rms for _, rms in history.seen(w, Quantity.PARAMETER_GRADIENT))
    ]  # fmt: skip


@training_rule(
    formula="a parameter of a module in use that asks for a gradient and never gets one, is in no "
    "optimiser, or in a group whose learning rate is always 0 beside others that move",
    source="torchmortem's rules, which cannot tell it from requires_grad=False",
    help="requires_grad=False is deliberate. Where the network learns it is no error; parameters "
    "in no optimiser are then a note, for so a head is trained alone; "
    "but not where the output itself is made by them, or the optimiser holds others of the same "
    "shapes that are not the model's and get no gradient. Parameters in a list or a dictionary of "
    "Python's that nobody changes are found too.",
    explains=("constant_output", "learning_rate_low"),
)
def frozen(history: History) -> Finding | None:
    """Parameters that should learn and do not."""
    if len(history.steps) < LEAST_RECORDS or history.number < FEW_STEPS:
        return None
    without, outside, at_rest = _without(history), _outside(history), _at_rest(history)
    severity: Severity
    if without:
        severity = "warning" if history.learns else "error"
        found, why = without, "never get a gradient: something on the way detaches them"
        fix = "# look for .detach(), torch.no_grad() or .item() between here and the loss"
    elif at_rest:
        severity = "warning" if history.learns else "error"
        found, why = at_rest, "never move: the learning rate of their group is 0"
        fix = "# requires_grad_(False) if that is meant; else the group's lr above 0"
    elif outside:
        severity = "error"
        idle = _in_their_place(history, outside)
        if history.learns:
            severity = "warning" if idle or _behind(history, outside) else "info"
        found, why = outside, "are in no optimiser"
        if idle:
            why += f": it holds {idle} others in their place, which are not the model's and get no "
            why += "gradient, as after a module has been replaced"
        fix = "optimizer = type(optimizer)(model.parameters(), lr=…)"
    elif hidden := _hidden(history):
        return _of_nobody(history, hidden)
    else:
        return None
    names = [w.full_name for w in found]
    return history.finding(
        "frozen", severity, [w.module for w in found],
        title=f"{len(names)} parameters {why.partition(':')[0]}",
        explanation=f"{listed(names, 4)} {why}, over {len(history.steps)} recorded steps.",
        evidence={"parameters": names[:20], "count": len(names)},
        threshold={"recorded_steps": LEAST_RECORDS},
        since=history.steps[0].number, direction="backward", fix=fix,
    )  # fmt: skip
