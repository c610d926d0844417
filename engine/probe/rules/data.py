"""What goes into the network and comes out of it whatever that is: scale, mode, one answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity
from layerscope.engine.probe.task import LARGE_INPUT, SMALL_INPUT
from layerscope.engine.statistics import Units

__all__ = ["constant_output", "eval_mode", "input_scale"]

OFFSET = 10.0  # |mean|/std: what varies is a hundredth of the input's power
LEAST_BATCH = 8  # samples that cannot all have the same answer by chance
SPREAD = 0.03  # of what differed between samples at first, and of the output's size


@training_rule(
    formula="every norm and dropout layer that a gradient comes to, and that has parameters which "
    "an optimiser moves or none, is in eval mode (a note where the training learns and nothing but "
    "dropout is, or the model as a whole is in training mode)",
    source="PyTorch's documentation of nn.Module.eval",
    help="Norms that nobody trains are left alone, frozen, without a gradient or in no optimiser: "
    "that is how a backbone is kept.",
)
def eval_mode(history: History) -> Finding | None:
    """The model is trained in the mode meant for evaluation."""
    facts = {f.index: f for f in history.facts}
    step = history.steps[-1] if history.steps else None
    told = [m for m in step.modules if m.training is not None] if step else []
    told = [m for m in told if _has_part(history, facts[m.index])]
    if step is None or not told or any(m.training for m in told):
        return None
    since = next(
        s.number for s in history.steps
        if any(m.training is False for m in s.modules)
    )  # fmt: skip
    where = [facts[m.index] for m in told]
    norms = any(f.role == "norm" for f in where)
    effect = "running statistics are used and never updated" if norms else "nothing is dropped"
    chosen = bool(step.in_training) or not norms  # who set the layers alone meant it
    severity: Severity = "info" if chosen and history.learns else "warning"
    return history.finding(
        "eval_mode", severity, where,
        title=f"All {len(where)} layers that have a mode are in eval mode while training"
        if len(where) > 1 else "The only layer that has a mode is in eval mode while training",
        explanation=f"In step {step.number} {effect}.",
        evidence={"layers": len(where), "norms": norms}, threshold={}, since=since,
        fix="model.train()  # before the loop, and after every evaluation",
    )  # fmt: skip


def _has_part(history: History, facts: ModuleFacts) -> bool:
    """Whether a module has parameters that are trained, or none, where the gradient comes to it:
    what the loss does not reach, or no optimiser moves, is a backbone that is kept."""
    mine = [
        w for w in history.weights_of(facts)
        if w.facts.trains and not (history.has_optimizer and w.facts.group is None)
    ]  # fmt: skip
    reached = any(s.of(facts.index, Quantity.GRADIENT) is not None for s in history.steps)
    reached |= any(history.recorded(w, Quantity.PARAMETER_GRADIENT) for w in mine)
    return reached and (bool(mine) or not facts.parameters)


@training_rule(
    formula=f"rms of the input above {LARGE_INPUT:g} or below {SMALL_INPUT:g}, or a mean of more "
    f"than {OFFSET:g} std, with no norm first, and the loss has not come down by half (else a "
    "note)",
    source="LeCun et al. 1998 (Efficient BackProp), section 4.3",
    help="Initialisations assume inputs of mean 0 and variance 1.",
    explains=("learning_rate_high", "learning_rate_low", "nonfinite", "saturation", "dead_units",
              "vanishing_activation", "vanishing_gradient", "mean_shift", "constant_output",
              "exploding_activation", "exploding_gradient", "rank_collapse", "output_scale"),
)  # fmt: skip
def input_scale(history: History) -> Finding | None:
    """The data are on another scale than initialisations assume."""
    if not history.facts or history.facts[0].role == "norm":
        return None
    first = history.facts[0]
    seen = [(s.number, x) for s in history.steps if (x := s.of(first.index, Quantity.INPUT))]
    if not seen or history.too_early:
        return None
    x = seen[-1][1]
    rms, std, mean = x.rms or 0.0, x.std or 0.0, x.mean or 0.0
    shifted = abs(mean) > OFFSET * std > 0
    if not (rms > LARGE_INPUT or 0 < rms < SMALL_INPUT or shifted):
        return None
    return history.finding(
        "input_scale", "info" if history.fares_well else "warning", [first],
        title=f"The input has mean {mean:.3g} and std {std:.3g}",
        explanation="Initialisations and learning rates assume about 0 and 1; the loss "
        + _how_far(history),
        evidence={"mean": mean, "std": std, "rms": rms},
        threshold={"largest_rms": LARGE_INPUT, "smallest_rms": SMALL_INPUT, "offset": OFFSET},
        since=seen[0][0], direction="forward",
        fix="x = (x - x.mean(0)) / x.std(0)  # each feature by its own, over all samples"
        if len(first.shape) == 2
        else f"x = (x - {mean:.4g}) / {std or 1:.4g}",
    )  # fmt: skip


def _empty_input(history: History) -> str:
    """A sentence where one number is all that ever went in."""
    index, name = history.facts[0].index, history.facts[0].name
    seen = [x for s in history.steps if (x := s.of(index, Quantity.INPUT)) is not None]
    numbers = {number for x in seen for number in (x.min, x.max)}
    if len(numbers) != 1 or None in numbers or any(x.finite < x.count for x in seen):
        return ""
    (number,) = numbers
    return (
        f" What goes into {name or 'the network'} is {number:g} at every entry, in each of "
        f"{len(seen)} recorded steps: the data tell no samples apart."
    )


def _how_far(history: History) -> str:
    if history.fares_well:
        return "falls all the same."
    return "falls, but has not come far." if history.learns else "does not fall."


def _is_constant(units: Units) -> bool:
    return units.batch >= LEAST_BATCH and units.constant == units.width


@training_rule(
    formula=f"every unit of the output has one value for all samples of a batch of {LEAST_BATCH} "
    "or more, in the last two looks, and the network does not learn; or, by a loss of which a "
    "constant answer's is not known, it does, and what differs between samples in the output, of "
    "two units or more, of a module that each step calls twice or more, has come below "
    f"{SPREAD:.0%} of what it was, and of the output itself",
    source="Schoenholz et al. 2017: in the ordered phase every input comes out the same; "
    "Hadsell, Chopra & LeCun 2006 on what keeps pairs apart",
    help="No threshold but equality: the answer does not depend on the input. Of a training that "
    "makes all samples alike: a loss that all answers alike make small is one that asks for it.",
    explains=("rank_collapse", "vanishing_gradient", "learning_rate_low", "mean_shift"),
)
def constant_output(history: History) -> Finding | None:
    """The network gives every sample the same answer."""
    last = next((f for f in reversed(history.facts) if f.shape and f.width), None)
    if last is None:
        return None
    looks = [
        (s, units) for s in history.steps
        if (m := s.said.get(last.index)) and m.look and (units := m.look.units) is not None
    ]  # fmt: skip
    if history.learns:
        return _collapsed(history, last, looks)
    recent = list(takewhile(lambda look: _is_constant(look[1]), reversed(looks)))[::-1]
    if len(recent) < 2:
        return None
    step, units = recent[-1]
    return history.finding(
        "constant_output", "error", [last],
        title="Every sample gets the same output",
        explanation=f"All {units.width} units of {last.name or last.kind} have one value for all "
        f"{units.batch} samples of step {step.number}.{_empty_input(history)}",
        evidence={"batch": units.batch, "units": units.width},
        threshold={"least_batch": LEAST_BATCH}, since=recent[0][0].number, direction="forward",
    )  # fmt: skip


def _collapsed(
    history: History, last: ModuleFacts, looks: Sequence[tuple[Outline, Units]]
) -> Finding | None:
    """A loss that has become small as the samples have become alike."""
    spreads = [(s, units, d) for s, units in looks if (d := _differs(s, last, units)) is not None]
    if history.baseline is not None or len(spreads) < 2:
        return None
    if spreads[-1][0].said[last.index].calls < 2:
        return None  # nothing holds its outputs against each other
    (first, _, (was, _)), (step, units, (now, share)) = spreads[0], spreads[-1]
    if units.width < 2 or units.batch < LEAST_BATCH or max(now / was if was else 1, share) > SPREAD:
        return None
    return history.finding(
        "constant_output", "warning", [last],
        title="All samples have come to the same output as the loss fell",
        explanation=f"Between the samples of step {step.number} {share:.2g} of what {last.name} "
        f"gives differs; it is {now / was:.2g} times what differed in step {first.number}. "
        f"Meanwhile the loss went from {history.began_at or 0.0:.3g} to "
        f"{history.last_loss or 0.0:.3g}.",
        evidence={
            "batch": units.batch, "units": units.width, "differs": share, "of_first": now / was,
        },
        threshold={"differs": SPREAD}, since=step.number, direction="forward",
    )  # fmt: skip


def _differs(step: Outline, last: ModuleFacts, units: Units) -> tuple[float, float] | None:
    """What differs between samples in an output, as an rms and as a share of the whole."""
    output, alike = step.of(last.index, Quantity.ACTIVATION), units.sample_correlation
    if output is None or output.rms is None or alike is None:
        return None
    share = math.sqrt(max(0.0, 1 - alike))
    return output.rms * share, share
