"""What makes an optimiser's steps small beside its learning rate: its epsilon, and clipping."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import History, Weight
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity

__all__ = ["adam_settings", "gradient_clipping"]

ABOVE = 10.0  # times the gradients: Adam's step is then a tenth of its learning rate and less
LEFT = 0.05  # of a gradient: a twentieth of the learning rate
SLOW = 1e-3  # of a weight a step: what is usual, and no more
PATIENCE = 100  # steps, after which a usual rate has come somewhere
LEAST_RECORDS = 8
BY_OWN_SCALE = frozenset({"SGD", "ASGD"})
"""Whose steps are as large as the gradients; others divide by these."""


def _slow(history: History, weights: list[Weight]) -> float | None:
    """The median Δw/w of a network that gets nowhere by steps that are none too large; None
    elsewhere."""
    ratios = [r for w in weights if (r := history.median_ratio(w)) is not None]
    stands = history.number >= PATIENCE and not history.fares_well and not history.rises
    if not ratios or not stands or median(ratios) >= SLOW:
        return None
    return median(ratios)


def _of_groups(history: History, chosen: set[int]) -> list[Weight]:
    return [
        w for w in history.weights()
        if w.facts.group in chosen and w.facts.trains and len(w.facts.shape) > 1
    ]  # fmt: skip


@training_rule(
    formula=f"an optimiser's eps is more than {ABOVE:g} times the median rms of the gradients, "
    f"weights change by less than {SLOW:g} of them a step, and the loss has not come down by half "
    f"in {PATIENCE} steps; or the first of its betas is above the second, and the loss has not "
    "either",
    source="Kingma & Ba 2015, Adam: Δw = −lr · m / (√v + ε)",
    help="Adam's step is about its learning rate whatever the gradient, as long as eps is far "
    "below it.",
    explains=("learning_rate_low", "constant_output"),
)
def adam_settings(history: History) -> Finding | None:
    """Adam's settings do not do what they are for."""
    return _swapped(history) or _large_epsilon(history)


def _swapped(history: History) -> Finding | None:
    """The gradient's mean over more steps than that of its squares: so the step is no longer of
    about the learning rate's size."""
    for number, group in enumerate(history.groups):
        first, second = group.momentum, group.second_beta
        if first is None or second is None or first <= second or not history.hinders:
            continue
        return history.finding(
            "adam_settings", "warning", [w.module for w in _of_groups(history, {number})],
            title=f"{group.kind}'s betas are ({first:g}, {second:g}): the first is the larger",
            explanation=f"The mean of the gradients is taken over {1 / (1 - first):.3g} steps, and "
            f"that of their squares, by which it is divided, over {1 / (1 - second):.3g}.",
            evidence={"betas": [first, second]}, threshold={}, since=history.steps[0].number,
            fix="# betas=(0.9, 0.999)",
        )  # fmt: skip
    return None


def _large_epsilon(history: History) -> Finding | None:
    """An epsilon beside which the gradients count for nothing."""
    told = {n: g.eps for n, g in enumerate(history.groups) if g.eps}
    weights = _of_groups(history, set(told))
    ratio = _slow(history, weights)
    sizes = [
        rms for w in weights for _, rms in history.seen(w, Quantity.PARAMETER_GRADIENT) if rms
    ]  # fmt: skip
    if ratio is None or len(sizes) < LEAST_RECORDS:
        return None
    eps, gradient = min(e for e in told.values() if e), median(sizes)
    if eps <= ABOVE * gradient:
        return None
    kind = history.groups[min(told)].kind
    return history.finding(
        "adam_settings", "warning", [w.module for w in weights],
        title=f"{kind}'s eps of {eps:g} is {eps / gradient:.2g} times the gradients",
        explanation=f"{kind} divides by the gradient's size and eps, to take steps of its learning "
        f"rate whatever the gradient. Beside this eps the gradients, {gradient:.2g}, count for "
        f"nothing, and steps are {eps / gradient:.2g} times smaller: weights change by "
        f"{ratio:.1g} of them a step.",
        evidence={"eps": eps, "gradient": gradient, "update_ratio": ratio},
        threshold={"times_gradient": ABOVE, "update_ratio": SLOW},
        since=history.steps[0].number,
        fix="optimizer.param_groups[0]['eps'] = 1e-8",
    )  # fmt: skip


@training_rule(
    formula=f"clipping leaves less than {LEFT:.0%} of the gradients, in most recorded steps, of an "
    "optimiser whose steps are as large as these; weights change by less than "
    f"{SLOW:g} of them a step, and the loss has not come down by half in {PATIENCE} steps",
    source="Pascanu et al. 2013, On the difficulty of training recurrent neural networks",
    help="Gradients between the backward pass and the optimiser's step: who else makes them small "
    "is found, too. Adam makes up for it.",
    explains=("learning_rate_low", "constant_output"),
)
def gradient_clipping(history: History) -> Finding | None:
    """Clipping leaves next to nothing of the gradients."""
    chosen = {n for n, g in enumerate(history.groups) if g.kind in BY_OWN_SCALE}
    weights = _of_groups(history, chosen)
    ratio = _slow(history, weights)
    if ratio is None:
        return None
    shares = [(s.number, share) for s in history.steps if (share := _left(s, weights)) is not None]
    small = [(number, share) for number, share in shares if share < LEFT]
    if len(shares) < LEAST_RECORDS or 2 * len(small) <= len(shares):
        return None
    share = median([share for _, share in small])
    return history.finding(
        "gradient_clipping", "warning", [w.module for w in weights],
        title=f"Clipping leaves {share:.1g} of the gradients",
        explanation=f"Between the backward pass and the optimiser's step they become so much "
        f"smaller, in {len(small)} of {len(shares)} recorded steps, and the steps with them: "
        f"weights change by {ratio:.1g} of them a step.",
        evidence={"left": share, "update_ratio": ratio},
        threshold={"left": LEFT, "update_ratio": SLOW}, since=small[0][0], direction="backward",
        fix="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
    )  # fmt: skip


def _left(step: Outline, weights: list[Weight]) -> float | None:
    """What is left of the gradients in a step, as a share of what they were."""
    shares = []
    for weight in weights:
        place = weight.module.index, weight.place
        before = step.of(place[0], Quantity.UNCLIPPED, place[1])
        after = step.of(place[0], Quantity.PARAMETER_GRADIENT, place[1])
        if before is not None and after is not None and before.rms and after.rms is not None:
            shares.append(after.rms / before.rms)
    return median(shares) if shares else None
