"""What is asked of the network: a loss that computes something else than what its name says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity, Task

__all__ = ["wrong_loss"]

LEAST_ASKED = 4  # recorded looks at a loss: logits stay within 0…1 in all of them by design alone
UNSURE = 0.25  # from 0 and from 1: nearer on both sides comes what a sigmoid is sure of
ROUNDED = 1e-3  # of a loss, by its own arithmetic
TAKES_LOGITS = frozenset({"CrossEntropyLoss", "cross_entropy"})
TAKES_BINARY_LOGITS = frozenset({"BCEWithLogitsLoss", "binary_cross_entropy_with_logits"})
BOUNDED = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0)}
"""Activations, and between what their outputs lie."""
TAKES_LOGARITHMS = frozenset({"NLLLoss", "nll_loss", "KLDivLoss", "kl_div"})


def _broadcast(task: Task) -> tuple[int, ...] | None:
    """The shape to which output and target would be stretched, where they differ."""
    if task.output == task.target or not task.entry_by_entry:
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
    """Whether PyTorch's own loss holds every output of a sample against one and the same number, a
    column's: it warns of that, where a loss of the user's may mean it. Of a map, or of a single
    output, that number is the label of all places."""
    output, target = task.output, task.target
    return (
        task.own
        and len(output) == len(target) == 2
        and output[0] == target[0]
        and target[1] == 1 < output[1]
    )


def _between(tasks: Sequence[Task], low: float, high: float) -> bool:
    """Whether all that was given to the loss, in every look, lay there."""
    return len(tasks) >= LEAST_ASKED and all(
        t.smallest is not None and low <= t.smallest and t.largest <= high for t in tasks
    )


def _are_chances(tasks: Sequence[Task], last: ModuleFacts) -> bool:
    """Whether all that was given to the loss lay within 0…1, and came near both where no sigmoid
    was seen to make it: logits that are all alike may lie there by chance."""
    sure = any(t.smallest is not None and t.smallest < UNSURE for t in tasks)
    sure &= any(t.largest > 1 - UNSURE for t in tasks)
    return _between(tasks, 0.0, 1.0) and (last.kind == "sigmoid" or sure)


def _bounded(history: History, last: ModuleFacts, tasks: Sequence[Task]) -> float | None:
    """The loss below which it cannot fall, where what the last module bounds is given to it as it
    is: in every look the loss saw as many entries, between the same two. None elsewhere: what is
    bounded may be multiplied afterwards, by a cap or by the weights of a tied embedding."""
    if last.kind not in BOUNDED or len(tasks[-1].output) < 2:
        return None
    low, high = BOUNDED[last.kind]
    if not _between(tasks, low, high) or not all(_as_it_is(s, last) for s in history.steps):
        return None
    least = math.log1p((tasks[-1].output[1] - 1) * math.exp(low - high))
    losses = [v for v in (*history.first, *(v for _, v in history.losses)) if math.isfinite(v)]
    return least if min(losses, default=least) >= least * (1 - ROUNDED) else None


def _as_it_is(step: Outline, last: ModuleFacts) -> bool:
    """Whether the loss was given what the module put out, as far as a look tells."""
    task, output = step.task, step.of(last.index, Quantity.ACTIVATION)
    if task is None:
        return True
    return output is not None and (output.count, output.min, output.max) == (
        math.prod(task.output), task.smallest, task.largest,
    )  # fmt: skip


def _stretched(task: Task, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """Title, explanation and fix where output and target broadcast to ``shape``."""
    title = f"The target broadcasts against the output: {task.output} with {task.target}"
    if shape == task.output:
        text = f"{task.loss} asks one and the same number of all {shape[-1]} outputs of a sample, "
        text += "which are pulled to be alike."
        return title, text, "# one output a target; of classes torch.nn.functional.cross_entropy"
    text = f"{task.loss} compares every output with every target, {shape} pairs."
    return title, text, "target = target.view_as(output)"


def _severity(
    history: History, task: Task, shape: tuple[int, ...] | None, least: float | None
) -> Severity:
    """A note where what looks wrong is done on purpose too, and goes well."""
    if shape is not None:
        ensemble = shape == task.output and not task.whole
        meant = history.learns or history.too_early
        return "info" if ensemble and meant else "error"
    if task.over_batch and history.fares_well:
        return "info"  # so samples are told from one another
    bounded = task.probabilities or task.loss in TAKES_BINARY_LOGITS or least is not None
    return "warning" if bounded and history.learns else "error"


@training_rule(
    formula="output and target of different shapes that broadcast to a third, or one number that "
    "PyTorch's loss asks of all outputs of a sample; probabilities, or what tanh or sigmoid bound "
    "and nothing multiplies afterwards, where the loss takes logits; "
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
    # Of a user's loss that broadcasts it does not show where output or target are all alike.
    task = next((t for t in reversed(tasks) if t.own or t.entry_by_entry), None)
    last = next((f for f in reversed(history.facts) if f.shape), None)
    if task is None or last is None:
        return None
    shape, least, fix = _broadcast(task), _bounded(history, last, tasks), None
    if shape is not None:
        title, text, fix = _stretched(task, shape)
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
    elif task.loss in TAKES_LOGITS and least is not None:
        low, high = BOUNDED[last.kind]
        title = f"{task.loss} is given what is bounded by {last.kind}; it takes logits"
        text = (
            f"Of {task.output[1]} classes no logit can be more than {high - low:g} above another: "
        )
        text += f"the loss cannot fall below {least:.3g}, however sure the network is."
        fix = f"# leave the {last.kind} out of the model's end"
    elif task.loss in TAKES_BINARY_LOGITS and _are_chances(tasks, last):
        title = f"{task.loss} is given probabilities; it takes logits"
        text = f"Every output of {len(tasks)} looks lies in 0…1: the sigmoid is taken twice, and "
        text += "no answer can be sure."
        fix = "# leave the sigmoid out of the model; take it where probabilities are shown"
    elif task.loss in TAKES_LOGARITHMS and task.largest > ROUNDED:
        title = f"{task.loss} is given {task.largest:.3g}; it takes logarithms of probabilities"
        text = "No logarithm of a probability is above 0."
        fix = "# the output's log_softmax, where it is made of logits; its log, of probabilities"
    else:
        return None
    since = next(s.number for s in history.steps if s.task is not None)
    return history.finding(
        "wrong_loss", _severity(history, task, shape, least), [last],
        title=title, explanation=text, direction="forward",
        evidence={
            "loss": task.loss, "output_shape": list(task.output),
            "target_shape": list(task.target), "largest_output": task.largest,
        },
        threshold={}, since=since, fix=fix,
    )  # fmt: skip
