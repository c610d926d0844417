"""Learning rates that are too low, judged by what the optimiser really does to the weights."""

from __future__ import annotations

import math

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import BETTER, History, Weight
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.rules.rates import learning_rate_high
from layerscope.engine.probe.rules.weights import (
    HIGH,
    USUAL,
    WHOLE,
    better_rate,
    drawn_as,
    matrices,
    rate_of,
)
from layerscope.engine.probe.step import Quantity

__all__ = ["learning_rate_low"]

LOW = 1e-5  # ten thousand steps change a weight by a tenth
SLOW, MOVED = 1e-4, 0.05  # a tenth of the usual, and all steps together a twentieth of any weight
PATIENCE = 100  # steps that a slow training is given first: so long a fine-tuning may seem to stand
WARMING = 1.2  # a learning rate that has grown by this factor is being warmed up
LONGEST_WARM_UP = 100_000  # steps; published ones take some thousand, ten thousand at most
LATER = 0.75  # of the steps: a rate that has not grown since is not being warmed up
LEAST_RATES = 8  # recorded ones, before it is said how they grow
LINEAR = 2.5  # times what it was at half of the steps: a rate that grows no faster than in a line
FAR = 2.0  # times the loss of a constant answer, which a bias alone can give
LEFT = 0.9  # of how far above it the loss was at first: less has come nearer
FAR_AWAY = 30.0  # times the output: so far targets of mean 0 and std 1 are never
FALLEN = 1e-2  # of the highest rate


@training_rule(
    formula=f"the loss does not fall, and no weight changes by more than {LOW:g} of it a step ("
    f"{SLOW:g}, of most weights, where the loss is a constant answer's and all steps together, "
    f"{PATIENCE} or more, make no {MOVED:.0%}), "
    "with gradients that are not zero and a learning rate that does not grow, or grows so that a "
    f"scheduler's own rate is reached after {LONGEST_WARM_UP:,} steps; or the "
    f"loss, {FAR:g} times a constant answer's or more, comes hardly nearer in {PATIENCE} steps, or "
    f"is a mean of squares by which outputs are {FAR_AWAY:g} times their rms away; or the loss has "
    "fallen by less than half, and weights that moved do so no more since the first half of it",
    source="Karpathy 2019, A recipe for training neural networks",
    help="What the optimiser really does counts: Adam makes up for tiny gradients.",
)
def learning_rate_low(history: History) -> Finding | None:
    """Steps are too small to get anywhere."""
    found = _too_small(history)
    # Beside steps that were too large what came of them is no cause.
    return None if found is None or learning_rate_high(history) is not None else found


def _too_small(history: History) -> Finding | None:
    moved = _moved(history)
    largest = max((ratio for _, ratio in moved), default=0.0)
    warming = _steps_to_full_rate(history, largest)
    if history.too_early or not moved or (warming is not None and warming < LONGEST_WARM_UP):
        return None
    far = _far_away(history, largest)
    if history.learns and far is None and (history.fares_well or not _stopped_early(history)):
        return None
    alive = [w for w, _ in moved if any(g for _, g in history.seen(w, Quantity.PARAMETER_GRADIENT))]
    if alive and _far_off(history, largest):
        return _too_far(history, alive, largest)
    if alive and far is not None:
        return _out_of_reach(history, alive, largest, *far)
    if (
        not (largest <= LOW or _hardly_moved(history, moved))
        or not alive
        or history.last_loss is None
        or history.first_loss is None
    ):
        return None
    rate = rate_of(history)
    text = f"After {history.number} steps the loss is at {history.last_loss:.4g}, from "
    text += f"{history.first_loss:.4g}; a step usually changes a weight by about {USUAL:g} of it."
    fix, fell = better_rate(rate, largest), _fallen(history)
    full = history.steps[-1].full_rate
    if fell is None and warming is None and full and rate and rate < FALLEN * full:
        text += f" The scheduler multiplies {full:g} by {rate / full:.1g}."
        fix = "# LambdaLR takes a factor of the optimiser's rate, not a rate"
    if fell is not None:
        text += f" The rate itself has fallen from {fell:g} to {rate or 0.0:g}."
        fix = "# scheduler.step() once an epoch, not once a batch; or a slower decay"
    if warming is not None:
        text += f" The rate is being warmed up: as it grows it is full after {warming:,} steps."
    return history.finding(
        "learning_rate_low", "warning", [w.module for w in alive],
        title=f"No weight changes by more than {largest:.1g} of it a step"
        if largest
        else "No weight changes any more",
        explanation=text,
        evidence={"update_ratio": largest, "learning_rate": rate, "warm_up_steps": warming},
        threshold={"update_ratio": LOW, "warm_up_steps": LONGEST_WARM_UP},
        since=history.steps[0].number,
        fix=fix if warming is None else "# a warm-up of some hundred steps",
    )  # fmt: skip


def _fallen(history: History) -> float | None:
    """The highest rate there was, where the newest is next to nothing of it."""
    highest = max((max(s.learning_rates, default=0.0) for s in history.steps), default=0.0)
    return highest if highest and (rate_of(history) or 0.0) < FALLEN * highest else None


def _far_off(history: History, largest: float) -> bool:
    """Whether the loss is far above that of a constant answer, which one bias can give, and has
    hardly come nearer, by steps that are not too large either."""
    first, last, baseline = history.first_loss, history.last_loss, history.baseline
    if first is None or last is None or baseline is None or history.number < PATIENCE:
        return False
    stands = not history.learns and not history.rises and not history.falls
    nearer = last - baseline < LEFT * (first - baseline)
    return stands and not nearer and last > FAR * baseline and largest <= HIGH


def _far_away(history: History, largest: float) -> tuple[float, float] | None:
    """The output's rms, and by its mean squares how far it is from what is asked, where that is far
    more, and has hardly become less: of a loss of which no constant answer's is known."""
    first, last = history.first_loss, history.last_loss
    made = history.made_of
    about = history.last_module
    squares = made is not None and made.loss == "mse_loss" and made.alone
    if not squares or about is None or history.baseline is not None or largest > HIGH:
        return None
    if first is None or last is None or history.number < PATIENCE or last < LEFT * first:
        return None
    output = history.steps[-1].of(about.index, Quantity.ACTIVATION)
    size, away = (output and output.rms) or 0.0, math.sqrt(last)
    return (size, away) if away > FAR_AWAY * size > 0 else None


def _too_far(history: History, alive: list[Weight], largest: float) -> Finding:
    first, last, baseline = history.first_loss, history.last_loss, history.baseline
    away = (last or 0.0) / (baseline or 1.0)
    return history.finding(
        "learning_rate_low", "warning", [w.module for w in alive],
        title=f"After {history.number} steps the loss is {away:.3g} times a constant answer's",
        explanation=f"It has gone from {first or 0.0:.4g} to {last or 0.0:.4g}, and one number for "
        f"all samples would get {baseline or 0.0:.4g}: by steps of this size the outputs come no "
        "nearer to what is asked of them.",
        evidence={
            "update_ratio": largest, "learning_rate": rate_of(history), "times_constant": away,
        },
        threshold={"times_constant": FAR, "steps": PATIENCE}, since=history.steps[0].number,
        fix="# targets of mean 0 and std 1, or a far higher rate",
    )  # fmt: skip


def _out_of_reach(
    history: History, alive: list[Weight], largest: float, size: float, away: float
) -> Finding:
    return history.finding(
        "learning_rate_low", "warning", [w.module for w in alive],
        title=f"After {history.number} steps the outputs are {away:.2g} away from the targets",
        explanation=f"The loss is the mean of squares, {history.last_loss or 0.0:.3g}, and the "
        f"outputs themselves have an rms of {size:.2g}: by steps of this size they come no nearer "
        "to what is asked of them.",
        evidence={
            "update_ratio": largest, "learning_rate": rate_of(history), "times_output": away / size,
        },
        threshold={"times_output": FAR_AWAY, "steps": PATIENCE}, since=history.steps[0].number,
        fix="# targets of mean 0 and std 1, or a far higher rate",
    )  # fmt: skip


def _hardly_moved(history: History, moved: list[tuple[Weight, float]]) -> bool:
    """Whether a network that is no better than a constant answer has had small steps alone, which
    together cannot have changed any of its weights."""
    last, baseline = history.last_loss, history.baseline
    usual = median([ratio for _, ratio in moved])
    if history.number < PATIENCE or usual > SLOW:
        return False
    if baseline is None or last is None or last < BETTER * baseline:
        return False
    weights = [w for w in matrices(history) if drawn_as(history, w)]
    all_steps = [
        s.update_ratio(w.module.index, w.place) or 0.0 for s in history.steps for w in weights
    ]  # fmt: skip
    return max(all_steps, default=0.0) * history.number < MOVED


def _stopped_early(history: History) -> bool:
    """Whether the weights moved, and have stood still since the first half of the training."""
    weights = matrices(history)
    moving = [
        s.number for s in history.steps
        if any((s.update_ratio(w.module.index, w.place) or 0.0) > LOW for w in weights)
    ]  # fmt: skip
    return bool(moving) and max(moving) <= history.number / 2


def _steps_to_full_rate(history: History, largest: float) -> int | None:
    """After how many steps a learning rate that grows will be what its scheduler multiplies: 0
    where that is not known, or it grows faster than in a line. None where none grows. A rate at
    which steps would replace the weights, now changed by ``largest`` of them at most, is nobody's:
    so a scheduler multiplies 1 that gives the rate itself."""
    rates = [(s.number, max(s.learning_rates)) for s in history.steps if s.learning_rates]
    if not rates or rates[-1][1] <= WARMING * rates[0][1]:
        return None
    number, rate = rates[-1]
    if rate <= min(rates, key=lambda each: abs(each[0] - LATER * number))[1]:
        return None  # it has stood since
    full = history.steps[-1].full_rate
    _, halfway = min(rates, key=lambda each: abs(each[0] - number / 2))
    if full is None or not math.isfinite(full / rate) or len(rates) < LEAST_RATES:
        return 0
    if not halfway <= rate <= LINEAR * halfway or largest * full / rate > WHOLE:
        return 0
    return round(number * full / rate)


def _moved(history: History) -> list[tuple[Weight, float]]:
    """Those with their median Δw/w over the recent steps; where others did not, none that began at
    zero, of which any step is a large part."""
    known = [(w, history.median_ratio(w)) for w in matrices(history)]
    moved = [(w, r) for w, r in known if r is not None]
    drawn = [(w, r) for w, r in moved if drawn_as(history, w)]
    return drawn or moved
