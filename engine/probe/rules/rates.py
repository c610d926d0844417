"""Learning rates, judged by what the optimiser really does to the weights."""

from __future__ import annotations

import math
from collections.abc import Callable

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import BETTER, History, Weight
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Quantity

__all__ = ["learning_rate_high", "learning_rate_low", "weight_decay"]

HIGH = 0.05  # rms(Δw)/rms(w): twenty steps replace a weight; a thousandth is usual
LOW = 1e-5  # ten thousand steps change a weight by a tenth
SLOW, MOVED = 1e-4, 0.05  # a tenth of the usual, and all steps together a twentieth of any weight
PATIENCE = 100  # steps that a slow training is given first: so long a fine-tuning may seem to stand
MANIFOLD = 10.0  # of what the weights are: one such step is enough
SETTLED = 30  # steps after which a loss that large steps did not raise should have come down
MOSTLY = 0.5  # of the recorded steps are too large, where the loss has not risen by them
WHOLE = 0.5  # a step half as large as the weights: little is left of how they were drawn
USUAL = 1e-3  # Karpathy 2019; Bottou 2012
MOST = 1000.0  # times the rate: more is said of none that is too low
ABSURD = 1e6  # rms(∂L/∂w)/rms(w) under plain descent: no rate that anybody gives makes up for it
WARMING = 1.2  # a learning rate that has grown by this factor is being warmed up
LONGEST_WARM_UP = 100_000  # steps; published ones take some thousand, ten thousand at most
LATER = 0.75  # of the steps: a rate that has not grown since is not being warmed up
LEAST_RATES = 8  # recorded ones, before it is said how they grow
LINEAR = 2.5  # times what it was at half of the steps: a rate that grows no faster than in a line
FAR = 2.0  # times the loss of a constant answer, which a bias alone can give
LEFT = 0.9  # of how far above it the loss was at first: less has come nearer
FAR_AWAY = 30.0  # times the output: so far targets of mean 0 and std 1 are never
FALLEN = 1e-3  # of the highest rate
MOST_MOMENTUM = 0.99  # of plain descent: a hundred steps add up
BY_OWN_SCALE = frozenset({"SGD", "RMSprop"})  # whose momentum is not divided out again
THROWN = 100.0  # times the first loss: no noise goes so far
SHRUNK = 0.1  # of what the weights were: decay, not the loss, has moved them


def _matrices(history: History) -> list[Weight]:
    """Weights of more than one axis that the optimiser moves."""
    return [
        w for w in history.weights()
        if len(w.facts.shape) > 1 and w.facts.group is not None and w.facts.trains
    ]  # fmt: skip


def _moved(history: History) -> list[tuple[Weight, float]]:
    """Those with their median Δw/w over the recent steps; where others did not, none that began at
    zero, of which any step is a large part."""
    known = [(w, history.median_ratio(w)) for w in _matrices(history)]
    moved = [(w, r) for w, r in known if r is not None]
    drawn = [(w, r) for w, r in moved if _begin(history, w)]
    return drawn or moved


def _begin(history: History, weight: Weight) -> float:
    """The rms of a weight in the oldest record."""
    return next((rms for _, rms in history.seen(weight, Quantity.VALUE)), 0.0)


def _rate(history: History, number: int | None = None) -> float | None:
    """In a recorded step; the newest by default."""
    chosen = [s for s in history.steps if number in (None, s.number)]
    return max(chosen[-1].learning_rates, default=None) if chosen else None


def _fix(rate: float | None, ratio: float) -> str:
    if not rate or not ratio:
        return "optimizer.param_groups[0]['lr'] = …  # above 0"
    factor = min(MOST, USUAL / ratio)
    return f"optimizer.param_groups[0]['lr'] = {rate * factor:.1g}  # was {rate:g}"


@training_rule(
    formula=f"the loss rises by a fifth or more, or does not fall in {SETTLED} steps, while the "
    f"median of rms(Δw)/rms(w) over the weights is above {HIGH:g}, or was {WHOLE:g} or more in a "
    f"step; or it has come to stand above {BETTER:g} of a constant answer's. Not where most "
    f"weights have shrunk below {SHRUNK:g} of what they were",
    source="Karpathy 2019, A recipe for training neural networks; Bottou 2012",
    help="A thousandth is usual. A large ratio alone is no fault: small weights move fast. Steps "
    "too large make weights larger: what makes them small is their decay.",
    explains=("nonfinite", "exploding_activation", "exploding_gradient", "dead_units", "saturation",
              "output_scale", "mean_shift", "rank_collapse", "vanishing_gradient",
              "vanishing_activation", "constant_output"),
)  # fmt: skip
def learning_rate_high(history: History) -> Finding | None:
    """Steps are too large for the loss to fall."""
    # The first too large a step: who has diverged moves large weights by little, or what has
    # exploded by any factor.
    medians = _medians(history)
    large = [(number, ratio) for number, ratio in medians if ratio > HIGH]
    if not large and history.rises:  # then a part of the weights is enough
        medians = _by_step(history, max)
        large = [(number, ratio) for number, ratio in medians if ratio > HIGH]
        large = large if len(large) >= MOSTLY * len(medians) else []
    thrown = max((r for _, r in large), default=0.0) >= WHOLE and _thrown(history)
    if not large or _shrank(history) or (history.learns and not _stuck(history) and not thrown):
        return None
    since, ratio = large[0]
    rate = _rate(history, since)
    enough = ratio >= MANIFOLD
    if history.broke and not (history.grew or enough):
        return None  # something else broke it: the loss had not been growing
    if history.too_early and not history.broke and not (history.grew and enough):
        return None
    rises = history.rises or history.grew
    mostly = len(large) >= MOSTLY * len(medians) or max(r for _, r in large) >= WHOLE
    stays = mostly and not history.signed and history.number >= SETTLED
    if not (rises or history.broke or stays):
        return None  # some large steps at the beginning keep no loss from falling later
    severity: Severity = "error" if rises else "warning"
    went = "is not finite any more" if history.broke else "has risen" if rises else "does not fall"
    # The gradient was so before any step: whatever had made it is to blame.
    beyond = bool(since <= 1 and rate and ratio / rate > ABSURD)
    return history.finding(
        "learning_rate_high", severity, [w.module for w in _matrices(history)],
        title=f"Weights change by {_share(ratio)} a step, and the loss {went}",
        explanation=f"The loss went from {history.began_at:.3g} to {history.last_loss:.3g} over "
        f"{history.number} steps; a step usually changes a weight by about {USUAL:g} of it."
        if history.last_loss is not None and history.began_at is not None
        else "The loss is not finite any more.",
        evidence={
            "update_ratio": ratio, "learning_rate": rate,
            **({"beyond_any_rate": True} if beyond else {}),
        },
        threshold={"update_ratio": HIGH}, since=since,
        fix=None if beyond else _less_momentum(history) or _fix(rate, ratio),
    )  # fmt: skip


def _less_momentum(history: History) -> str | None:
    """Where it adds up more steps than anybody wants."""
    groups = next((s.groups for s in reversed(history.steps) if s.groups), ())
    most = max((g.momentum or 0.0 for g in groups if g.kind in BY_OWN_SCALE), default=0.0)
    if most <= MOST_MOMENTUM:
        return None
    steps = f"so {1 / (1 - most):.3g} steps add up" if most < 1 else "so steps add up without end"
    return f"optimizer.param_groups[0]['momentum'] = 0.9  # was {most:g}: {steps}"


def _stuck(history: History) -> bool:
    """Whether all that has been learned is little more than a constant answer, and no more is."""
    last, baseline = history.last_loss, history.baseline
    if baseline is None or last is None or history.number < PATIENCE:
        return False
    return last > BETTER * baseline and not history.falls


def _thrown(history: History) -> bool:
    """Whether the loss was once far above where it began, and has stood near there since."""
    if history.number < PATIENCE or history.fares_well or history.falls or history.signed:
        return False
    seen = [v for v in (*history.first, *(v for _, v in history.losses)) if math.isfinite(v)]
    return max(seen, default=0.0) > THROWN * (history.began_at or math.inf)


def _kept(history: History, until: int | None = None) -> float | None:
    """How much most weights are, as a share of what they were; by the records up to a step."""
    shares = []
    for weight in _matrices(history):
        seen = [v for n, v in history.seen(weight, Quantity.VALUE) if until is None or n <= until]
        if len(seen) > 1 and seen[0]:
            shares.append(seen[-1] / seen[0])
    return median(shares) if shares else None


def _shrank(history: History) -> bool:
    """Whether most weights have become a small part of what they were: a rate that is too high
    makes them larger."""
    kept = _kept(history)
    return kept is not None and kept < SHRUNK


def _share(ratio: float) -> str:
    return f"{ratio:.0%}" if ratio < 10 else f"{ratio:.2g} times themselves"


def _medians(history: History) -> list[tuple[int, float]]:
    """Of Δw/w over the weights, by recorded step."""
    return _by_step(history, median)


def _by_step(history: History, figure: Callable[[list[float]], float]) -> list[tuple[int, float]]:
    """A figure of Δw/w over the weights, by recorded step."""
    found = []
    weights = [w for w in _matrices(history) if _begin(history, w)]
    for step in history.steps:
        ratios = [step.update_ratio(w.module.index, w.place) for w in weights]
        known = [r for r in ratios if r is not None]
        if known:
            found.append((step.number, figure(known)))
    return found


@training_rule(
    formula=f"the loss does not fall, and no weight changes by more than {LOW:g} of it a step ("
    f"{SLOW:g}, of most weights, where the loss is a constant answer's and all steps together, "
    f"{PATIENCE} or more, make no {MOVED:.0%}), "
    "with gradients that are not zero and a learning rate that does not grow, or grows so that a "
    f"scheduler's own rate is reached after {LONGEST_WARM_UP:,} steps; or the "
    f"loss, {FAR:g} times a constant answer's or more, comes hardly nearer in {PATIENCE} steps; "
    "or the loss has "
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
    rate = _rate(history)
    text = f"After {history.number} steps the loss is at {history.last_loss:.4g}, from "
    text += f"{history.first_loss:.4g}; a step usually changes a weight by about {USUAL:g} of it."
    fix, fell = _fix(rate, largest), _fallen(history)
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
    return highest if highest and (_rate(history) or 0.0) < FALLEN * highest else None


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
    made = next((s.made_of for s in reversed(history.steps) if s.made_of), None)
    about = next((f for f in reversed(history.facts) if f.shape), None)
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
        evidence={"update_ratio": largest, "learning_rate": _rate(history), "times_constant": away},
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
            "update_ratio": largest, "learning_rate": _rate(history), "times_output": away / size,
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
    weights = [w for w in _matrices(history) if _begin(history, w)]
    all_steps = [
        s.update_ratio(w.module.index, w.place) or 0.0 for s in history.steps for w in weights
    ]  # fmt: skip
    return max(all_steps, default=0.0) * history.number < MOVED


def _stopped_early(history: History) -> bool:
    """Whether the weights moved, and have stood still since the first half of the training."""
    weights = _matrices(history)
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


@training_rule(
    formula=f"the loss has not fallen, and most weights have shrunk below {SHRUNK:g} of what they "
    "were",
    source="Krogh & Hertz 1991, A simple weight decay can improve generalization",
    help="A word beside what fades with the weights, where that is found.",
)
def weight_decay(history: History) -> Finding | None:
    """Decay takes more from the weights than the loss gives back."""
    if history.learns or history.too_early or history.broke or not _shrank(history):
        return None
    kept = _kept(history)
    since = next(s.number for s in history.steps if (_kept(history, s.number) or 1.0) < SHRUNK)
    return history.finding(
        "weight_decay", "error", [w.module for w in _matrices(history)],
        title=f"Most weights have shrunk to {kept:.1g} of what they were",
        explanation=f"Over {history.number} steps, while the loss went from "
        f"{history.first_loss or 0.0:.3g} to {history.last_loss or 0.0:.3g}: decay, or a "
        "penalty on them, takes more from them than the loss gives back.",
        evidence={"kept": kept}, threshold={"kept": SHRUNK}, since=since,
        fix="# a lower weight_decay in the optimiser: 0.01 or less",
    )  # fmt: skip
