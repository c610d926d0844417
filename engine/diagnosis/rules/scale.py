"""Signal and gradient that grow or shrink geometrically with depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from layerscope.engine.basis.text import number_text
from layerscope.engine.diagnosis.evidence import Evidence, Trend, power_of_ten
from layerscope.engine.diagnosis.finding import Direction, Finding, Severity
from layerscope.engine.diagnosis.lasting import STEPS, lasting, unreached
from layerscope.engine.diagnosis.parts import in_words
from layerscope.engine.diagnosis.rule import rule
from layerscope.engine.execution.records import Record

__all__ = [
    "exploding_activation", "exploding_gradient", "vanishing_activation", "vanishing_gradient",
]  # fmt: skip

WARN_DECADES = 2.0  # a hundredfold change over the whole depth: worth a look
GROW_DECADES = 3.0  # a thousandfold growth: an error; it diverges or needs a tiny step
SHRINK_DECADES = 4.0  # a ten-thousandfold loss: an error; Adam makes up for less than that
LEAST_DEPTH = 3  # blocks: through two points goes a line whatever they are
FILLED = 1.0  # rms of a state that is bounded by tanh, at most
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


def _grown_in_time(evidence: Evidence) -> tuple[Record, float] | None:
    """The recurrent module whose state is furthest beyond what came before it, by how many decades;
    None where none is so by an error's. Before it came no less than 1: a state that biases fill is
    not large for inputs that are small, and none behind tanh comes beyond."""
    found = []
    for place, record in enumerate(evidence.records):
        before = evidence.records[place - 1].activation if place else evidence.entered
        now, was = record.activation.rms, before.rms if before else None
        if record.facts.kind == "RNN" and now and was and math.isfinite(now):
            found.append((record, math.log10(now / max(was, FILLED))))
    largest = max(found, key=lambda pair: pair[1], default=None)
    return largest if largest and largest[1] >= GROW_DECADES else None


def _shallow_in_time_too(evidence: Evidence) -> str | None:
    return None if _grown_in_time(evidence) else _shallow(evidence)


def _over_time(evidence: Evidence, record: Record, decades: float) -> Finding | None:
    name, place = record.facts.name or record.facts.kind, evidence.records.index(record)
    before = evidence.records[place - 1] if place else None
    came = before.activation if before else evidence.entered
    now, was = record.activation.rms or 0.0, (came and came.rms) or 0.0
    source = f"the output of {before.facts.name or before.facts.kind}" if before else "the input"
    return evidence.finding(
        "exploding_activation", "error", [record], direction="forward",
        title=f"The state of {name} has an rms of {number_text(now, 2)}",
        explanation=f"{source[0].upper()}{source[1:]} before it has one of {number_text(was, 2)}; "
        "at every time step the recurrent weights multiply the state again.",
        evidence={"decades": decades, "state_rms": now, "rms_before": was},
        threshold={"error_decades_grow": GROW_DECADES, "least_rms_before": FILLED},
    )  # fmt: skip


def _finding(
    evidence: Evidence,
    name: str,
    direction: Direction,
    severity: Severity,
    where: Sequence[Record],
    title: str,
    explanation: str,
) -> Finding | None:
    trend = _trend(evidence, direction)
    error = trend and (trend.error if math.isfinite(trend.error) else None)
    return evidence.finding(
        name, severity, where, title=title, explanation=explanation, direction=direction,
        evidence={
            "factor_per_block": trend and trend.factor, "slope": trend and trend.slope,
            "slope_error": error, "decades": trend and trend.span, "depth": evidence.depth,
        },
        threshold={"warning_decades": WARN_DECADES, "error_decades_grow": GROW_DECADES,
                   "error_decades_shrink": SHRINK_DECADES, "slope_standard_errors": SIGMAS},
    )  # fmt: skip


def _trend(evidence: Evidence, direction: Direction) -> Trend | None:
    return evidence.forward_trend if direction == "forward" else evidence.backward_trend


def _how(evidence: Evidence, trend: Trend, direction: Direction) -> str:
    if direction == "forward":
        return f"Each block multiplies the signal by about {trend.per_block()}."
    each = f"Each block going back multiplies the gradient by about {trend.per_block(-1)}."
    return each + in_words(evidence)


def _change(
    evidence: Evidence, name: str, direction: Direction, sign: int, error: float, title: str
) -> Finding | None:
    """A change over depth of ``sign``, in ``title`` as a factor; an error from so many decades."""
    trend = _trend(evidence, direction)
    if trend is None or trend.slope * sign < SIGMAS * trend.error:
        return None
    decades = trend.span * sign
    if not decades >= WARN_DECADES:
        return None
    severity: Severity = "error" if decades >= error else "warning"
    words = title.format(power_of_ten(decades, 2)), _how(evidence, trend, direction)
    return _finding(evidence, name, direction, severity, evidence.block_outputs, *words)


@rule(
    formula=f"fitted growth of rms over depth ≥ 10^{WARN_DECADES:g}, slope > {SIGMAS:g} s.e.; or a "
    f"recurrent state whose rms is above 10^{GROW_DECADES:g} and so many times what came before it",
    source="Poole et al. 2016; PoorWeightInitialization (SageMaker) uses a variance ratio of 10",
    help=_HELP,
    explains=("saturation", "exploding_gradient", "vanishing_gradient", "precision_loss",
              "output_scale"),
    undecided=_shallow_in_time_too,
    of_scale=True,
)  # fmt: skip
def exploding_activation(evidence: Evidence) -> Finding | None:
    """The signal grows geometrically with depth, or with the time steps of a recurrent layer."""
    grown = _grown_in_time(evidence)
    if grown is not None:
        return _over_time(evidence, *grown)
    title = f"Activations grow {{}}-fold over {evidence.depth} layers"
    return _change(evidence, "exploding_activation", "forward", +1, GROW_DECADES, title)


@rule(
    formula=f"fitted loss of rms over depth ≥ 10^{WARN_DECADES:g}, slope < −{SIGMAS:g} s.e., "
    "or a block whose output is all zero",
    source="Poole et al. 2016; the notes' randn × 0.01",
    help=_HELP,
    explains=("vanishing_gradient", "rank_collapse", "precision_loss", "mean_shift",
              "inert_parameters"),
    of_scale=True,
)  # fmt: skip
def vanishing_activation(evidence: Evidence) -> Finding | None:
    """The signal shrinks geometrically with depth, or has gone to exact zeros."""
    silent = [r for r in evidence.block_outputs if r.activation.zeros == r.activation.count > 0]
    if silent:
        return _all_zero(evidence, silent)
    title = f"Activations vanish: {{}} times smaller after {evidence.depth} layers"
    return _change(evidence, "vanishing_activation", "forward", -1, SHRINK_DECADES, title)


def _all_zero(evidence: Evidence, silent: Sequence[Record]) -> Finding | None:
    """Blocks that hand on nothing but zeros, and what made the first of them so."""
    first = silent[0]
    earlier = [r for r in evidence.records if r.facts.index <= first.facts.index]
    found = [(r, c) for r in earlier if (c := r.cause("activation", "0")) is not None]
    where, cause = found[-1] if found else (first, None)
    trend = evidence.forward_trend
    shrunk = cause is not None and bool(cause.exact)
    title = "Activations vanish: all zero" if shrunk else "Activations are all zero"
    on = evidence.block_outputs[-len(silent) :] == list(silent)
    place = f"from layer {evidence.label(first)} on" if on else f"in {_span(evidence, silent)}"
    before = next((r for r in reversed(earlier) if r.activation.rms), None)
    told = f"{_how(evidence, trend, 'forward')} " if trend and shrunk else ""
    told += f"{where.facts.name}: {cause.said}." if cause else ""
    if before is not None and before is not where and not shrunk:
        told += f" The output of {before.facts.name} before it has rms {before.activation.rms:.2g}."
    finding = _finding(
        evidence, "vanishing_activation", "forward", "error", silent, f"{title} {place}",
        told.strip() or f"Every entry of {first.facts.name}'s output is exactly zero.",
    )  # fmt: skip
    if finding is not None and cause is not None:
        finding.evidence.update(
            operation=cause.operation,
            operands=", ".join(g.text for g in cause.operands),
            exact=cause.exact,
        )
    return finding


def _span(evidence: Evidence, where: Sequence[Record]) -> str:
    """The blocks concerned, in words."""
    blocks = [evidence.block(r) for r in where]
    first, last = evidence.label(where[0]), evidence.label(where[-1])
    if len(blocks) == 1:
        return f"layer {first}"
    if blocks[-1] - blocks[0] + 1 == len(blocks):
        return f"layers {first} to {last}"
    return f"{len(blocks)} of {evidence.depth} layers, from {first} to {last}"


def _why_no_gradient(evidence: Evidence, last: Record) -> str:
    """What made the gradient zero, going back, where it was seen."""
    later = [r for r in reversed(evidence.records) if r.facts.index >= last.facts.index]
    found = [(r, c) for r in later if (c := r.cause("gradient", "0")) is not None]
    return f" At {found[-1][0].facts.name}: {found[-1][1].said}." if found else ""


def _no_gradient(evidence: Evidence, silent: Sequence[Record]) -> Finding | None:
    """Blocks whose output has a gradient of zeros: for good, or until the first steps are taken."""
    closed = unreached(evidence)
    last = bool(lasting(closed, [bool(r.gradient_comes) for r in closed])) or not closed
    told = "The gradient by these layers' outputs is exactly zero"
    told += ": nothing is learned here." if last else " before the first step."
    told += _why_no_gradient(evidence, silent[-1])
    if not last:
        told += f" Within {STEPS} steps of training a gradient comes."
    where = _span(evidence, silent)
    return _finding(
        evidence, "vanishing_gradient", "backward", "error" if last else "info", silent,
        f"No gradient reaches {where}" if last else f"At first no gradient reaches {where}", told,
    )  # fmt: skip


@rule(
    formula=f"fitted growth of the gradient's rms going back ≥ 10^{WARN_DECADES:g}",
    source="Pascanu, Mikolov & Bengio 2013; Schoenholz et al. 2017",
    help=_HELP,
    explains=("precision_loss",),
    undecided=_shallow,
    of_scale=True,
)
def exploding_gradient(evidence: Evidence) -> Finding | None:
    """The gradient grows geometrically on its way back."""
    title = "Gradients grow {}-fold on their way back"
    return _change(evidence, "exploding_gradient", "backward", -1, GROW_DECADES, title)


@rule(
    formula=f"fitted loss of the gradient's rms going back ≥ 10^{WARN_DECADES:g}, or a layer whose "
    f"gradient is all zero (a note where {STEPS} steps of training bring one)",
    source="Hochreiter 1991; Schoenholz et al. 2017",
    help=_HELP,
    explains=("precision_loss", "inert_parameters"),
    of_scale=True,
)
def vanishing_gradient(evidence: Evidence) -> Finding | None:
    """The gradient shrinks geometrically on its way back, or has gone to exact zeros."""
    silent = [
        r for r in evidence.block_outputs if r.gradient and r.gradient.zeros == r.gradient.count > 0
    ]
    if silent:
        return _no_gradient(evidence, silent)
    title = "Gradients vanish: {} times smaller at the first layer than at the last"
    return _change(evidence, "vanishing_gradient", "backward", +1, SHRINK_DECADES, title)
