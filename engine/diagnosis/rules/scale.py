"""Signal and gradient that grow or shrink geometrically with depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from layerscope.engine.diagnosis.evidence import Evidence, Trend
from layerscope.engine.diagnosis.finding import Finding, Severity
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = [
    "exploding_activation", "exploding_gradient", "vanishing_activation", "vanishing_gradient",
]  # fmt: skip

WARN_DECADES = 2.0  # a hundredfold change over the whole depth: worth a look
GROW_DECADES = 3.0  # a thousandfold growth: an error; it diverges or needs a tiny step
SHRINK_DECADES = 4.0  # a ten-thousandfold loss: an error; Adam makes up for less than that
LEAST_DEPTH = 3  # blocks: through two points goes a line whatever they are
SIGMAS = 3.0  # the slope must differ from 0 by this many of its standard errors

_HELP = (
    f"warning at a factor of 10^{WARN_DECADES:g} over the whole depth, error at "
    f"10^{GROW_DECADES:g} of growth or 10^{SHRINK_DECADES:g} of loss: no single learning rate "
    "serves both ends."
)


def _shallow(evidence: Evidence) -> str | None:
    if evidence.depth >= LEAST_DEPTH:
        return None
    return f"a trend over depth needs {LEAST_DEPTH} blocks, here are {evidence.depth}"


def _severity(trend: Trend | None, sign: int, error_decades: float) -> Severity | None:
    if trend is None or trend.slope * sign < SIGMAS * trend.error:
        return None
    decades = trend.span * sign
    if decades >= error_decades:
        return "error"
    return "warning" if decades >= WARN_DECADES else None


def _trend_figures(trend: Trend | None) -> dict[str, float | None]:
    if trend is None:
        return {"factor_per_block": None, "slope": None, "slope_error": None, "decades": None}
    error = trend.error if trend.error != float("inf") else None
    return {"factor_per_block": trend.factor, "slope": trend.slope, "slope_error": error,
            "decades": trend.span}  # fmt: skip


def _finding(
    evidence: Evidence,
    name: str,
    severity: Severity,
    trend: Trend | None,
    words: tuple[str, str],
    direction: Literal["forward", "backward"],
    where: Sequence[Record],
) -> Finding:
    title, explanation = words
    return evidence.finding(
        name, severity, where, title=title, explanation=explanation, direction=direction,
        evidence={**_trend_figures(trend), "depth": evidence.depth},
        threshold={"warning_decades": WARN_DECADES, "error_decades_grow": GROW_DECADES,
                   "error_decades_shrink": SHRINK_DECADES, "slope_standard_errors": SIGMAS},
    )  # fmt: skip


@rule(
    formula=f"fitted growth of rms over depth ≥ 10^{WARN_DECADES:g}, slope > {SIGMAS:g} s.e.",
    source="Poole et al. 2016; PoorWeightInitialization (SageMaker) uses a variance ratio of 10",
    help=_HELP,
    explains=(
        "saturation",
        "exploding_gradient",
        "vanishing_gradient",
        "precision_loss",
        "output_scale",
    ),
    undecided=_shallow,
)
def exploding_activation(evidence: Evidence) -> Sequence[Finding]:
    """The signal grows geometrically with depth."""
    trend = evidence.forward_trend
    severity = _severity(trend, +1, GROW_DECADES)
    if severity is None or trend is None:
        return []
    words = (
        f"Activations grow {10**trend.span:.2g}-fold over {evidence.depth} layers",
        f"Each block multiplies the signal by about {trend.factor:.3g}.",
    )
    return [_finding(evidence, "exploding_activation", severity, trend, words, "forward",
                     evidence.block_outputs)]  # fmt: skip


@rule(
    formula=f"fitted loss of rms over depth ≥ 10^{WARN_DECADES:g}, slope < −{SIGMAS:g} s.e., "
    "or a block whose output is all zero",
    source="Poole et al. 2016; the notes' randn × 0.01",
    help=_HELP,
    explains=("vanishing_gradient", "exploding_gradient", "dead_units", "rank_collapse",
              "precision_loss", "saturation", "mean_shift"),
)  # fmt: skip
def vanishing_activation(evidence: Evidence) -> Sequence[Finding]:
    """The signal shrinks geometrically with depth, or has gone to exact zeros."""
    silent = [r for r in evidence.block_outputs if r.activation.zeros == r.activation.count > 0]
    trend = evidence.forward_trend
    if silent:
        first = evidence.block(silent[0])
        how = f"Each block multiplies the signal by about {trend.factor:.3g}. " if trend else ""
        words = (
            f"Activations vanish: all zero from layer {first} on",
            how + f"Below {silent[0].facts.dtype}'s smallest number nothing is left.",
        )
        return [_finding(evidence, "vanishing_activation", "error", trend, words, "forward",
                         silent)]  # fmt: skip
    severity = _severity(trend, -1, SHRINK_DECADES)
    if severity is None or trend is None:
        return []
    words = (
        f"Activations vanish: {10**-trend.span:.2g} times smaller after {evidence.depth} layers",
        f"Each block multiplies the signal by about {trend.factor:.3g}.",
    )
    return [_finding(evidence, "vanishing_activation", severity, trend, words, "forward",
                     evidence.block_outputs)]  # fmt: skip


@rule(
    formula=f"fitted growth of the gradient's rms going back ≥ 10^{WARN_DECADES:g}",
    source="Pascanu, Mikolov & Bengio 2013; Schoenholz et al. 2017",
    help=_HELP,
    explains=("precision_loss",),
    undecided=_shallow,
)
def exploding_gradient(evidence: Evidence) -> Sequence[Finding]:
    """The gradient grows geometrically on its way back."""
    trend = evidence.backward_trend
    severity = _severity(trend, -1, GROW_DECADES)
    if severity is None or trend is None:
        return []
    words = (
        f"Gradients grow {10**-trend.span:.2g}-fold on their way back",
        f"Each block going back multiplies the gradient by about {1 / trend.factor:.3g}.",
    )
    return [_finding(evidence, "exploding_gradient", severity, trend, words, "backward",
                     evidence.block_outputs)]  # fmt: skip


@rule(
    formula=f"fitted loss of the gradient's rms going back ≥ 10^{WARN_DECADES:g}, or a layer whose "
    "gradient is all zero",
    source="Hochreiter 1991; Schoenholz et al. 2017",
    help=_HELP,
    explains=("rank_collapse", "precision_loss", "mean_shift", "dead_units"),
)
def vanishing_gradient(evidence: Evidence) -> Sequence[Finding]:
    """The gradient shrinks geometrically on its way back, or has gone to exact zeros."""
    silent = [
        r for r in evidence.block_outputs if r.gradient and r.gradient.zeros == r.gradient.count > 0
    ]
    trend = evidence.backward_trend
    if silent:
        words = (
            f"No gradient reaches layers 1 to {evidence.block(silent[-1])}",
            "The gradient by these layers' outputs is exactly zero: they cannot learn.",
        )
        return [_finding(evidence, "vanishing_gradient", "error", trend, words, "backward",
                         silent)]  # fmt: skip
    severity = _severity(trend, +1, SHRINK_DECADES)
    if severity is None or trend is None:
        return []
    words = (
        f"Gradients vanish: {10**trend.span:.2g} times smaller at the first layer than at the last",
        f"Each block going back multiplies the gradient by about {1 / trend.factor:.3g}.",
    )
    return [_finding(evidence, "vanishing_gradient", severity, trend, words, "backward",
                     evidence.block_outputs)]  # fmt: skip
