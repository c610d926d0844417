"""What a narrow number format loses: updates that are rounded away, gradients that underflow."""

from __future__ import annotations

from layerscope.engine.basis.median import median
from layerscope.engine.diagnosis import Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.probe.history import History, Weight
from layerscope.engine.probe.rules.base import training_rule
from layerscope.engine.probe.step import Outline, Quantity

__all__ = ["precision_loss"]

LOST = 0.9  # share of a parameter's entries that a step leaves as they are
MOSTLY = 0.6  # the same over most parameters, of a network that has not come far
UNDERFLOW = 0.5  # share of the gradient by the output that is zero or subnormal
NARROW = ("bfloat16", "float16")
LEAST_RECORDS = 3


@training_rule(
    formula=f"a step leaves more than {LOST:.0%} of the entries of a narrow parameter as they are, "
    "though its gradient is not zero, in most of the last recorded steps; where the loss has not "
    f"come down by half, {MOSTLY:.0%} in most parameters; or {UNDERFLOW:.0%} of the gradient by a "
    "narrow output are zero or subnormal",
    source="Micikevicius et al. 2018, Mixed precision training",
    help="A change below half the distance to the next number is rounded away: float32 keeps it.",
    explains=("learning_rate_low", "vanishing_gradient", "frozen"),
)
def precision_loss(history: History) -> Finding | None:
    """What the number format of the parameters or of the gradients rounds away."""
    if history.too_early:
        return None
    return _updates(history) or _gradients(history)


def _updates(history: History) -> Finding | None:
    shares = [(w, share) for w in history.weights() if (share := _left_alone(history, w))]
    lost = [(w, share) for w, share in shares if share > LOST]
    if not lost and not history.fares_well and median([s for _, s in shares] or [0.0]) > MOSTLY:
        lost = [(w, share) for w, share in shares if share > MOSTLY]
    if not lost:
        return None
    weight, share = max(lost, key=lambda pair: pair[1])
    dtype = weight.facts.dtype
    return history.finding(
        "precision_loss", _severity(history), [w.module for w, _ in lost],
        title=f"{share:.0%} of {weight.full_name} stays as it is: updates are lost in {dtype}",
        explanation=f"The gradient is not zero, but the step is below what {dtype} can tell apart "
        "at the size of the weights.",
        evidence={"worst_share": share, "parameters": len(lost), "dtype": dtype},
        threshold={"share": LOST, "share_of_most": MOSTLY}, since=history.recent[0].number,
        fix="model.float()  # parameters in float32; torch.autocast for the forward pass",
    )  # fmt: skip


def _left_alone(history: History, weight: Weight) -> float | None:
    """Median share of a narrow matrix' entries that the recent steps left as they were."""
    if weight.facts.dtype not in NARROW or len(weight.facts.shape) < 2:
        return None
    shares = [share for s in history.recent if (share := _kept(s, weight)) is not None]
    return median(shares) if len(shares) >= LEAST_RECORDS else None


def _kept(step: Outline, weight: Weight) -> float | None:
    """Share of entries that a step with a gradient left alone."""
    change = step.of(weight.module.index, Quantity.UPDATE, weight.place)
    gradient = step.of(weight.module.index, Quantity.PARAMETER_GRADIENT, weight.place)
    if change is None or gradient is None or not change.count or not gradient.rms:
        return None
    moving = max(1, gradient.count - gradient.zeros)
    return max(0.0, (change.zeros - gradient.zeros) / moving)


def _gradients(history: History) -> Finding | None:
    """The gradient underflows where it begins, at the output: nothing before it can have more."""
    last = history.last_module
    if last is None or last.dtype not in NARROW or history.fares_well or not history.last_loss:
        return None
    shares = [
        (g.zeros + g.subnormal) / g.count for s in history.recent
        if (g := s.of(last.index, Quantity.GRADIENT)) and g.count
    ]  # fmt: skip
    if len(shares) < LEAST_RECORDS or median(shares) <= UNDERFLOW:
        return None
    share, where = median(shares), last.name or last.kind
    return history.finding(
        "precision_loss", _severity(history), [last],
        title=f"{share:.0%} of the gradient by {where}'s output is lost in {last.dtype}",
        explanation=f"So much of it is zero or subnormal though the loss is at "
        f"{history.last_loss:.3g}: it is below the smallest numbers of {last.dtype}.",
        evidence={"worst_share": share, "dtype": last.dtype},
        threshold={"share": UNDERFLOW}, since=history.recent[0].number, direction="backward",
        fix="scaler = torch.amp.GradScaler()  # or parameters in float32",
    )  # fmt: skip


def _severity(history: History) -> Severity:
    return "warning" if history.learns else "error"
