"""Parameters that get no gradient, or one that they had already."""

from __future__ import annotations

import re
from itertools import takewhile
from operator import attrgetter

from layerscope.engine.basis.text import listed
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import FEW_STEPS, History, Weight
from layerscope.engine.probe.rules import reach
from layerscope.engine.probe.rules.base import training_rule

__all__ = ["frozen", "stale_gradients"]

LEAST_RECORDS = reach.LEAST_RECORDS
_PLURAL = re.compile(r"^(never |hardly )?(are|have|get|move)\b")
_SINGULAR = {"are": "is", "have": "has"}


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


def _of_nobody(history: History, names: tuple[str, ...]) -> Finding:
    return history.finding(
        "frozen", "info" if history.fares_well else _severity(history), [],
        title=f"{len(names)} parameters are in no optimiser: PyTorch does not find them",
        explanation=f"{listed(list(names), 4)} get gradients, have not changed, and lie in a list "
        "or a dictionary of Python's: parameters() does not know of them, nor does what is made by "
        "it.",
        evidence={"parameters": list(names[:20]), "count": len(names)},
        threshold={"recorded_steps": LEAST_RECORDS},
        since=history.steps[0].number, direction="backward",
        fix="self.… = nn.ModuleList(…)  # or nn.ModuleDict, nn.ParameterList",
    )  # fmt: skip


@training_rule(
    formula="a parameter of a module in use that asks for a gradient and never gets one, or none "
    "but zeros, is in no optimiser, or in a group whose learning rate is always 0 beside others "
    f"that move, or at most {reach.NEXT_TO_NONE:g} of another's where nothing moves by more than "
    f"{reach.UNMOVED:g} of it a step and the loss has not come down by half; or a recurrent cell "
    "to one of whose calls alone a gradient comes back, where the loss has not come down by half",
    source="torchmortem's rules, which cannot tell it from requires_grad=False",
    help="requires_grad=False is deliberate, and so is what is in no optimiser and gets no "
    "gradient: a target network. A factor of 0 may be meant, too: where the network learns, "
    "gradients of zeros are a note. Where the network learns it is no error; parameters "
    "in no optimiser are then a note, for so a head is trained alone; "
    "but not where the output itself is made by them, or the optimiser holds others of the same "
    "shapes that are not the model's and get no gradient. Parameters in a list or a dictionary of "
    "Python's that nobody changes are found too, and such as are made anew for every loss.",
    explains=("constant_output", "learning_rate_low"),
)
def frozen(history: History) -> Finding | None:
    """Parameters that should learn and do not."""
    if len(history.steps) < LEAST_RECORDS or history.number < FEW_STEPS:
        return None
    checks = (_unreached, _made_anew, _asleep, _emptied, _at_rest, _outside, _hidden, _empty)
    found = next((f for check in checks if (f := check(history)) is not None), None)
    cut = None if found or history.fares_well else reach.cut_in_time(history)
    return found if cut is None else _cut_in_time(history, *cut)


def _made_anew(history: History) -> Finding | None:
    odd = next((o for s in history.steps for o in s.oddities if o.what == "made anew"), None)
    if odd is None:
        return None
    return history.finding(
        "frozen", "info" if history.fares_well else _severity(history), [],
        title="Parameters are made anew for every loss",
        explanation=f"One of shape {odd.before} takes part in the loss, is none of the model's, "
        "and is another one in every step: what it learns goes with it.",
        evidence={"shape": list(odd.before)}, threshold={}, since=history.steps[0].number,
        direction="backward", fix="# make the layer in __init__, and call it in forward",
    )  # fmt: skip


def _asleep(history: History) -> Finding | None:
    if not (asleep := reach.never_start(history)):
        return None
    found = _frozen(
        history, asleep, "are zero, and get a gradient of zeros: each is multiplied by another "
        "that is zero too", "nn.init.normal_(weight, std=0.02)  # of one of the two",
    )  # fmt: skip
    found.evidence["largest_gradient"] = 0.0
    return found


def _emptied(history: History) -> Finding | None:
    if not (emptied := reach.emptied(history)):
        return None
    return _frozen(
        history, emptied, "have a gradient of zeros when the optimiser steps: after the backward "
        "pass it was not zero",
        "optimizer.zero_grad(); loss.backward(); optimizer.step()  # in this order",
    )  # fmt: skip


def _at_rest(history: History) -> Finding | None:
    if at_rest := reach.at_rest(history):
        return _frozen(
            history, at_rest, "never move: the learning rate of their group is 0",
            "# requires_grad_(False) if that is meant; else the group's lr above 0",
        )  # fmt: skip
    if history.fares_well or not (still := reach.next_to_rest(history)):
        return None
    rates = next(s.learning_rates for s in reversed(history.steps) if s.learning_rates)
    rate = max(rates[w.facts.group] for w in still if w.facts.group is not None)
    return _frozen(
        history, still, f"hardly move: the learning rate of their group is {rate:g}, the highest "
        f"{max(rates):g}", "# the group's lr nearer to the others'",
    )  # fmt: skip


def _outside(history: History) -> Finding | None:
    outside = reach.outside(history)
    return _in_no_optimizer(history, outside) if outside else None


def _hidden(history: History) -> Finding | None:
    hidden = reach.hidden(history)
    return _of_nobody(history, hidden) if hidden else None


def _empty(history: History) -> Finding | None:
    if not (empty := reach.never_anything(history)):
        return None
    found = _frozen(
        history, empty, "get a gradient that is zero at every entry: the loss does not depend on "
        "what they make",
        "# look for an output that the loss leaves out, a factor of 0, or argmax, round, sign",
        "info" if history.learns else None,
    )  # fmt: skip
    found.evidence["largest_gradient"] = 0.0
    return found


def _severity(history: History) -> Severity:
    return "warning" if history.learns else "error"


def _unreached(history: History) -> Finding | None:
    found = reach.without(history)
    if found and reach.unstepped(history, found):
        return _frozen(
            history, found, "never move: their optimiser has not taken a step",
            "optimizer.step()  # after loss.backward(); of each optimiser",
        )  # fmt: skip
    if found and reach.lost_before(history, found):
        return _frozen(
            history, found, "have no gradient when the optimiser steps: one comes back to the "
            "outputs of their modules, and is set to nothing before it, or comes after it",
            "optimizer.zero_grad(); loss.backward(); optimizer.step()  # in this order",
        )  # fmt: skip
    return None if not found else _frozen(
        history, found, "never get a gradient: nothing that the loss is made of uses what they "
        "give, or something on the way detaches it",
        "# look for an output that forward leaves out; for .detach(), torch.no_grad() or .item()",
    )  # fmt: skip


def _in_no_optimizer(history: History, found: list[Weight]) -> Finding:
    severity, why = _severity(history), "are in no optimiser"
    idle = reach.in_their_place(history, found)
    if history.learns and not idle and not reach.behind(history, found):
        severity = "info"
    if idle:
        why += f": it holds {idle} others in their place, which are not the model's and get no "
        why += "gradient, as after a module has been replaced"
    fix = "optimizer = type(optimizer)(model.parameters(), lr=…)"
    return _frozen(history, found, why, fix, severity)


def _frozen(
    history: History, found: list[Weight], why: str, fix: str, severity: Severity | None = None
) -> Finding:
    """A finding about parameters: ``why``, up to its colon, is the title too."""
    names = [w.full_name for w in found]
    if len(names) == 1:
        why = _PLURAL.sub(lambda verb: f"{verb[1]}{_SINGULAR.get(verb[2], verb[2] + 's')}", why)
    return history.finding(
        "frozen", severity or _severity(history), [w.module for w in found],
        title=f"{len(names)} parameter{'s' * (len(names) > 1)} {why.partition(':')[0]}",
        explanation=f"{listed(names, 4)} {why}, over {len(history.steps)} recorded steps.",
        evidence={"parameters": names[:20], "count": len(names)},
        threshold={"recorded_steps": LEAST_RECORDS},
        since=history.steps[0].number, direction="backward", fix=fix,
    )  # fmt: skip


def _cut_in_time(history: History, facts: ModuleFacts, calls: int) -> Finding:
    name = facts.name or facts.kind
    return history.finding(
        "frozen", _severity(history), [facts],
        title=f"A gradient comes back to 1 of {calls} calls of {name}: none goes through time",
        explanation=f"{name} is called {calls} times a step, a moment at a time, and what it gives "
        f"gets a gradient at one of them, in each of the last {len(history.recent)} recorded "
        "steps: nothing that it hands on from one call to the next learns.",
        evidence={"calls": calls, "calls_with_gradient": 1},
        threshold={"recorded_steps": LEAST_RECORDS},
        since=history.steps[0].number, direction="backward",
        fix="# detach the state between sequences alone, not between their moments",
    )  # fmt: skip
