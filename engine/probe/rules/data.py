"""What goes into the network and what is asked of it: loss, scale of the input, mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import takewhile

from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.constant import LOSSES
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Quantity, Task
from layerscope.engine.probe.task import LARGE_INPUT, SMALL_INPUT
from layerscope.engine.statistics import Units

__all__ = ["constant_output", "eval_mode", "input_scale", "wrong_loss"]

OFFSET = 10.0  # |mean|/std: what varies is a hundredth of the input's power
LEAST_ASKED = 4  # recorded looks at a loss: logits stay within 0…1 in all of them by design alone
LEAST_BATCH = 8  # samples that cannot all have the same answer by chance

ENTRY_BY_ENTRY = frozenset(
    name for each in LOSSES if not each.in_classes
    for name in (each.function.__name__, each.module.__name__)
)  # fmt: skip
"""PyTorch's losses that compare an output with a target of its shape."""
TAKES_LOGITS = frozenset({"CrossEntropyLoss", "cross_entropy"})
TAKES_BINARY_LOGITS = frozenset({"BCEWithLogitsLoss", "binary_cross_entropy_with_logits"})
BOUNDED = {"tanh": 2.0, "sigmoid": 1.0}
"""Activations of which no output is further from another."""
TAKES_LOGARITHMS = frozenset({"NLLLoss", "nll_loss"})


def _broadcast(task: Task) -> tuple[int, ...] | None:
    """The shape to which output and target would be stretched, where they differ."""
    if task.output == task.target or not task.target_dtype.startswith(("float", "bfloat")):
        return None
    rank = max(len(task.output), len(task.target))
    both = [(1,) * (rank - len(s)) + s for s in (task.output, task.target)]
    if any(a != b and 1 not in (a, b) for a, b in zip(*both, strict=True)):
        return None
    shape = tuple(max(a, b) for a, b in zip(*both, strict=True))
    if shape not in both or (shape == both[0] and _one_for_all(task)):
        return shape
    return None


def _one_for_all(task: Task) -> bool:
    """Whether PyTorch's own loss holds every output of a sample against one and the same number: it
    warns of that, where a loss of the user's may mean it."""
    return task.loss in ENTRY_BY_ENTRY and len(task.target) > 1 and task.target[-1] == 1


def _between_0_and_1(tasks: Sequence[Task]) -> bool:
    """Whether no output of any look was an odd thing for a probability to be."""
    return len(tasks) >= LEAST_ASKED and all(
        t.smallest is not None and t.smallest >= 0 and t.largest <= 1 for t in tasks
    )


@training_rule(
    formula="output and target of different shapes that broadcast to a third, or one number that "
    "PyTorch's loss asks of all outputs of a sample; probabilities, or what tanh or sigmoid bound, "
    "where the loss takes logits; "
    "numbers above 0 where it takes logarithms; a softmax over the batch; targets smoothed away",
    source="PyTorch's documentation of CrossEntropyLoss, NLLLoss and MSELoss",
    help="No threshold: the loss computes something else than what its name says.",
    explains=(
        "constant_output",
        "learning_rate_high",
        "learning_rate_low",
        "rank_collapse",
        "saturation",
        "nonfinite",
        "dead_units",
    ),
)
def wrong_loss(history: History) -> Finding | None:
    """The loss is given something else than it expects."""
    tasks = [s.task for s in history.steps if s.task is not None and math.isfinite(s.task.largest)]
    task = tasks[-1] if tasks else None
    last = next((f for f in reversed(history.facts) if f.shape), None)
    if task is None or last is None:
        return None
    shape, fix = _broadcast(task), None
    if shape is not None:
        title = f"The target broadcasts against the output: {task.output} with {task.target}"
        if shape == task.output:
            text = f"{task.loss} asks one and the same number of all {shape[-1]} outputs of a "
            text += "sample, which are pulled to be alike."
            fix = "# one output a target; of classes torch.nn.functional.cross_entropy"
        else:
            text = f"{task.loss} compares every output with every target, {shape} pairs."
            fix = "target = target.view_as(output)"
    elif task.smoothing >= 1:
        title = f"{task.loss} smooths the labels away: label_smoothing is {task.smoothing:g}"
        text = "Every class is asked for alike, whatever the label: there is nothing to learn."
        fix = "loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)"
    elif task.over_batch and task.loss in TAKES_LOGITS | TAKES_LOGARITHMS:
        title = f"{task.loss} is given a softmax over the batch"
        text = "It is over all samples that the probabilities of a class add up to one, not over "
        text += "the classes of a sample: the answer to one depends on which others came with it."
        fix = "# softmax and log_softmax over the classes: dim=1 of (samples, classes)"
    elif task.loss in TAKES_LOGITS and task.probabilities:
        title = f"{task.loss} is given probabilities; it takes logits"
        text = "The output's rows are not negative and add up to one: softmax is taken twice, and "
        text += "the loss cannot fall to zero."
        fix = "# leave the softmax out of the model; take it where probabilities are shown"
    elif task.loss in TAKES_LOGITS and last.kind in BOUNDED and len(task.output) > 1:
        width = BOUNDED[last.kind]
        least = math.log1p((task.output[1] - 1) * math.exp(-width))
        title = f"{task.loss} is given what is bounded by {last.kind}; it takes logits"
        text = (
            f"Of {task.output[1]} classes no logit can be more than {width:g} above another: the "
        )
        text += f"loss cannot fall below {least:.3g}, however sure the network is."
        fix = f"# leave the {last.kind} out of the model's end"
    elif task.loss in TAKES_BINARY_LOGITS and _between_0_and_1(tasks):
        title = f"{task.loss} is given probabilities; it takes logits"
        text = f"Every output of {len(tasks)} looks lies in 0…1: the sigmoid is taken twice, and "
        text += "no answer can be sure."
        fix = "# leave the sigmoid out of the model; take it where probabilities are shown"
    elif task.loss in TAKES_LOGARITHMS and task.largest > 0:
        title = f"{task.loss} is given {task.largest:.3g}; it takes logarithms of probabilities"
        text = "No logarithm of a probability is above 0."
        fix = "loss = torch.nn.functional.cross_entropy(output, target)"
    else:
        return None
    since = next(s.number for s in history.steps if s.task is not None)
    probabilities = task.probabilities or task.loss in TAKES_BINARY_LOGITS or last.kind in BOUNDED
    probabilities_learn = shape is None and history.learns and probabilities
    return history.finding(
        "wrong_loss", "warning" if probabilities_learn else "error", [last],
        title=title, explanation=text, direction="forward",
        evidence={
            "loss": task.loss, "output_shape": list(task.output),
            "target_shape": list(task.target), "largest_output": task.largest,
        },
        threshold={}, since=since, fix=fix,
    )  # fmt: skip


@training_rule(
    formula="every norm and dropout layer that has parameters to train or none is in eval mode "
    "while gradients are computed",
    source="PyTorch's documentation of nn.Module.eval",
    help="Norms whose parameters are frozen are left alone: that is how a backbone is kept.",
)
def eval_mode(history: History) -> Finding | None:
    """The model is trained in the mode meant for evaluation."""
    facts = {f.index: f for f in history.facts}
    step = history.steps[-1] if history.steps else None
    told = [m for m in step.modules if m.training is not None] if step else []
    told = [
        m for m in told
        if not facts[m.index].parameters
        or any(p.trains for p in facts[m.index].parameters.values())
    ]  # fmt: skip
    if step is None or not told or any(m.training for m in told):
        return None
    since = next(
        s.number for s in history.steps
        if any(m.training is False for m in s.modules)
    )  # fmt: skip
    where = [facts[m.index] for m in told]
    norms = any(f.role == "norm" for f in where)
    effect = "running statistics are used and never updated" if norms else "nothing is dropped"
    return history.finding(
        "eval_mode", "warning" if norms or not history.learns else "info", where,
        title=f"All {len(where)} layers that have a mode are in eval mode while training",
        explanation=f"In step {step.number} {effect}.",
        evidence={"layers": len(where)}, threshold={}, since=since,
        fix="model.train()  # before the loop, and after every evaluation",
    )  # fmt: skip


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
        since=seen[0][0], direction="forward", fix=f"x = (x - {mean:.4g}) / {std or 1:.4g}",
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
    "or more, in the last two looks, and the network does not learn",
    source="Schoenholz et al. 2017: in the ordered phase every input comes out the same",
    help="No threshold but equality: the answer does not depend on the input.",
    explains=("rank_collapse", "vanishing_gradient", "learning_rate_low", "mean_shift"),
)
def constant_output(history: History) -> Finding | None:
    """The network gives every sample the same answer."""
    last = next((f for f in reversed(history.facts) if f.shape and f.width), None)
    if last is None or history.learns:
        return None
    looks = [
        (s.number, m.look.units) for s in history.steps for m in s.modules
        if m.index == last.index and m.look is not None and m.look.units is not None
    ]  # fmt: skip
    recent = list(takewhile(lambda look: _is_constant(look[1]), reversed(looks)))[::-1]
    if len(recent) < 2:
        return None
    return history.finding(
        "constant_output", "error", [last],
        title="Every sample gets the same output",
        explanation=f"All {recent[-1][1].width} units of {last.name} have one value for all "
        f"{recent[-1][1].batch} samples of step {recent[-1][0]}.{_empty_input(history)}",
        evidence={"batch": recent[-1][1].batch, "units": recent[-1][1].width},
        threshold={"least_batch": LEAST_BATCH}, since=recent[0][0], direction="forward",
    )  # fmt: skip
