"""What is asked of the network: a loss that computes something else than what its name says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.history import History
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.loss_graph import (
    BELOW_ITS_LEAST,
    BELOW_ZERO,
    BOUNDED,
    LEAVE_OUT,
    NEAR,
    ROUNDED,
    RUN_AWAY,
    Words,
    bounded_words,
    by_graph,
    least_of,
    never_below,
    over_words,
    without_end,
)  # fmt: skip
from layerscope.engine.probe.step import Outline, Quantity, Task

__all__ = ["wrong_loss"]

LEAST_ASKED = 4  # recorded looks at a loss: logits stay within 0…1 in all of them by design alone
UNSURE = 0.25  # from 0 and from 1: nearer on both sides comes what a sigmoid is sure of
TAKES_LOGITS = frozenset({"CrossEntropyLoss", "cross_entropy"})
TAKES_BINARY_LOGITS = frozenset({"BCEWithLogitsLoss", "binary_cross_entropy_with_logits"})
TAKES_LOGARITHMS = frozenset({"NLLLoss", "nll_loss", "KLDivLoss", "kl_div"})
TAKES_BINARY_CHANCES = frozenset({"BCELoss", "binary_cross_entropy"})
TAKES_CHANCES = TAKES_BINARY_LOGITS | TAKES_BINARY_CHANCES
OPPOSITE = -0.5  # correlation of outputs and targets: the one is much of what the other is not
AT_FIRST = -0.2  # by chance it is no lower
LEAST_LOOKS = 3
ENDS = {"relu": (0.0, math.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""Between what outputs lie, of activations that networks end in."""
BEYOND = 0.1  # of what the targets span: less may be noise
TAKES_SIGNS = frozenset({"SoftMarginLoss", "soft_margin_loss"})


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
    least = least_of(tasks[-1].output[1], last.kind)
    return least if never_below(history, least) else None


def _as_it_is(step: Outline, last: ModuleFacts) -> bool:
    """Whether the loss was given what the module put out, as far as a look tells."""
    task, output = step.task, step.of(last.index, Quantity.ACTIVATION)
    if task is None:
        return True
    return output is not None and (output.count, output.min, output.max) == (
        math.prod(task.output), task.smallest, task.largest,
    )  # fmt: skip


def _stretched(task: Task, shape: tuple[int, ...]) -> Words:
    """What is said where output and target broadcast to ``shape``."""
    title = f"The target broadcasts against the output: {task.output} with {task.target}"
    if shape == task.output:
        text = f"{task.loss} asks one and the same number of all {shape[-1]} outputs of a sample, "
        text += "which are pulled to be alike."
        return title, text, "# one output a target; of classes torch.nn.functional.cross_entropy"
    text = f"{task.loss} compares every output with every target, {shape} pairs."
    return title, text, "target = target.view_as(output)"


def _asked_for(task: Task, last: ModuleFacts, history: History) -> Words | None:
    """What is said where the target is beyond what can be asked for."""
    low, high = task.lowest, task.highest
    if low is None or high is None:
        return None
    if task.own and task.loss in TAKES_CHANCES and (low < -ROUNDED or high > 1 + ROUNDED):
        return (
            f"{task.loss} is given targets from {low:.3g} to {high:.3g}; it takes chances",
            "Beyond 0…1 no answer is best: the loss falls without end as the output grows.",
            f"target = target / {high:.3g}" if low >= 0 else "# targets within 0…1",
        )
    if task.loss in TAKES_SIGNS and low == 0:
        return (
            f"{task.loss} is given targets from {low:.3g} to {high:.3g}; it takes −1 and 1",
            "Whatever is answered where the target is 0, the loss is the same, and no gradient "
            "comes.",
            "target = 2 * target - 1",
        )
    if not (task.own and task.entry_by_entry and history.hinders) or task.smallest is None:
        return None
    made = history.made_of
    kind = last.kind if last.kind in ENDS or made is None else made.given
    bounds = ENDS.get(kind)
    if bounds is None or not bounds[0] <= task.smallest <= task.largest <= bounds[1]:
        return None
    room = BEYOND * (high - low)
    if low >= bounds[0] - room and high <= bounds[1] + room:
        return None
    ends = f"{bounds[0]:g} to {bounds[1]:g}" if math.isfinite(bounds[1]) else "0 upwards"
    return (
        f"{kind} bounds the output to {ends}; targets go from {low:.3g} to {high:.3g}",
        "No answer can be beyond that, and near its ends no gradient comes back.",
        f"# leave the {kind} out of the model's end, or bring the targets between its ends",
    )


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


def _given(
    task: Task, tasks: Sequence[Task], last: ModuleFacts, least: float | None
) -> Words | None:
    """What is said where the loss is given something else than it takes."""
    name = task.loss
    if task.smoothing >= 1:
        return (
            f"{name} smooths the labels away: label_smoothing is {task.smoothing:g}",
            "Every class is asked for alike, whatever the label: there is nothing to learn.",
            "loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)",
        )
    if task.over_batch and name in TAKES_LOGITS | TAKES_LOGARITHMS:
        return over_words(name, 0)
    if name in TAKES_LOGITS and task.probabilities:
        return (
            f"{name} is given probabilities; it takes logits",
            "The output's rows are not negative and add up to one: softmax is taken twice, and "
            "the loss cannot fall to zero.",
            LEAVE_OUT.format("softmax"),
        )
    if task.own and name in TAKES_BINARY_CHANCES and task.probabilities and task.several:
        return (
            f"{name} is given a softmax, and targets of several classes at once",
            f"The {task.output[1]} outputs of a sample add up to one, and its targets to more: no "
            "answer can come near to them.",
            "output = logits.sigmoid()  # in place of the softmax",
        )
    if name in TAKES_LOGITS and least is not None:
        return bounded_words(name, last.kind, task.output[1], least)
    if name in TAKES_BINARY_LOGITS and _are_chances(tasks, last):
        return (
            f"{name} is given probabilities; it takes logits",
            f"Every output of {len(tasks)} looks lies in 0…1: the sigmoid is taken twice, and "
            "no answer can be sure.",
            LEAVE_OUT.format("sigmoid"),
        )
    if name in TAKES_LOGARITHMS and task.largest > ROUNDED:
        return (
            f"{name} is given {task.largest:.3g}; it takes logarithms of probabilities",
            "No logarithm of a probability is above 0.",
            "# the output's log_softmax, where it is made of logits; its log, of probabilities",
        )
    return None


@training_rule(
    formula="output and target of different shapes that broadcast to a third, or one number that "
    "PyTorch's loss asks of all outputs of a sample; probabilities, or what tanh or sigmoid bound "
    "and nothing multiplies afterwards, where the loss takes logits; "
    "numbers above 0 where it takes logarithms; a softmax over the batch; targets smoothed away. "
    "Of a loss that is not computed through the probe: the same where autograd's graph tells. "
    "Or one of PyTorch's that is never below zero of what it takes, and is; cosines times so small "
    f"a number that it stays within {NEAR:g} of equal chances'; a softmax where a sample has "
    f"several classes; outputs that come to a correlation of {OPPOSITE:g} with the targets as the "
    "loss falls below zero. "
    f"Or a loss that falls to {BELOW_ZERO:g} times its first size below zero ({BELOW_ITS_LEAST:g} "
    f"where it is one of PyTorch's turned round) and on, while what a module gives has grown "
    f"{RUN_AWAY:g} times",
    source="PyTorch's documentation of CrossEntropyLoss, NLLLoss and MSELoss",
    help="No threshold: the loss computes something else than what its name says.",
    explains=(
        "constant_output",
        "learning_rate_high",
        "learning_rate_low",
        "rank_collapse",
        "saturation",
        "softmax_axis",
        "nonfinite",
        "dead_units",
    ),
)
def wrong_loss(history: History) -> Finding | None:
    """The loss is given something else than it expects."""
    tasks = [s.task for s in history.steps if s.task is not None and math.isfinite(s.task.largest)]
    # Of a user's loss that broadcasts it does not show where output or target are all alike.
    task = next((t for t in reversed(tasks) if t.own or t.entry_by_entry), None)
    last = history.last_module
    if task is None or last is None:
        return by_graph(history) or without_end(history) or _opposite(history)
    shape, least = _broadcast(task), _bounded(history, last, tasks)
    said = None if shape is None else _stretched(task, shape)
    said = said or _given(task, tasks, last, least) or _asked_for(task, last, history)
    if said is None:
        return by_graph(history) or without_end(history)
    title, text, fix = said
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


def _opposite(history: History) -> Finding | None:
    """Of a loss of the user's own below zero, as similarities turned round are, by which outputs
    have become what targets are not. By one that is none a score comes to be a noise's negative."""
    seen = [(s.number, s.task) for s in history.steps if s.task is not None]
    known = [(n, t.alike) for n, t in seen if t.alike is not None]
    last = history.last_module
    if last is None or len(known) < max(LEAST_LOOKS, len(seen)) or not history.learns:
        return None
    began, now = known[0][1], known[-1][1]
    if began < AT_FIRST or now > OPPOSITE or (history.last_loss or 0.0) >= 0:
        return None
    return history.finding(
        "wrong_loss", "warning", [last],
        title="The loss falls as the outputs become the opposite of the targets",
        explanation=f"Their correlation, entry by entry, went from {began:.2g} to {now:.2g} as the "
        f"loss went from {history.began_at or 0.0:.3g} to {history.last_loss or 0.0:.3g}.",
        evidence={"correlation": now, "loss": seen[-1][1].loss},
        threshold={"correlation": OPPOSITE},
        since=next(n for n, alike in known if alike <= OPPOSITE), direction="forward",
        fix="loss = -loss  # of what is to be large, as a similarity, its negative is made small",
    )  # fmt: skip
