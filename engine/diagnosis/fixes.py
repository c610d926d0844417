"""Fixes that were tried: small changes of specification, run with the same seed and data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.diagnose import diagnose
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.finding import SEVERITIES, Finding
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.learning import Learned, Learning, learning_flops
from layerscope.engine.execution.cost import Cost, cost, here, passes_flops
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers import ACTIVATIONS, chosen_norm
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.theory import NoCriticalPoint, critical_point

__all__ = ["FINDINGS", "Fix", "Outcomes", "candidates", "fixes_cost", "verified_fix"]

TRIES = 12  # candidates run for one finding at most
BUDGET_FLOPS = 160_000_000_000
"""For all tries of one finding, about three seconds on a core, at typical prices: the same fixes
are tried on every machine."""
FINDINGS = 3
"""For so many a fix is looked for at most, the most severe first."""
FEW_SAMPLES, SAMPLES = 8, 64  # a batch of fewer, and what to try instead
FEW_UNITS, UNITS = 16, 64  # the same of a layer's units

Change = dict[str, Any]

USUAL: Change = {
    name: Experiment.model_fields[name].default
    for name in (
        "input_scale", "input_mean", "bias_mean", "layer_gains", "output_scale", "branch_scale",
        "norm_gain", "fan", "reduction", "backward_scale",
    )
}  # fmt: skip
"""What is hardly ever meant to be otherwise, so that it is set back first."""

WARNING = SEVERITIES.index("warning")


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of specification after which the finding is gone, no other came, every parameter
    gets a gradient, and a short training with either optimiser learns.

    ``tried`` counts the candidates run; ``before`` and ``after`` are the rms of each block's output
    and of its gradient, by block, None where not finite.
    """

    rule: str
    change: Change
    tried: int
    before: dict[str, list[float | None]]
    after: dict[str, list[float | None]]

    def given_to(self, finding: Finding) -> Finding:
        """``finding`` with this as its fix."""
        return replace(finding, fix=self.change, fix_verified=True)

    def to_dict(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "fix": self.change,
            "fix_verified": True,
            "tried": self.tried,
            "before": self.before,
            "after": self.after,
        }


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What was found of a changed experiment, and whether every parameter gets a gradient."""

    findings: list[Finding]
    whole: bool
    curves: dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What changes of one experiment came to: most are tried for several of its findings."""

    found: dict[Experiment, _Outcome] = field(default_factory=dict)
    learned: Learned = field(default_factory=dict)

    def of(self, changed: Experiment, should_stop: ShouldStop) -> _Outcome:
        """Of one change, run if it was not yet."""
        if changed not in self.found:
            after = gather(changed, should_stop)
            self.found[changed] = _Outcome(
                diagnose(after), _all_get_gradients(after), _curves(after)
            )
        return self.found[changed]


def candidates(experiment: Experiment, finding: Finding) -> Iterator[Change]:
    """Changes that may help, the smallest and most fitting first.

    One parameter before two; the scale at which theory holds the signal before another scheme; what
    alters the architecture (norm, residual) after what does not.
    """
    e = experiment
    if e.backward_scale != 1:  # before a format that holds what it makes of the gradients
        yield {"backward_scale": 1.0}
    if finding.rule in ("nonfinite", "precision_loss") and e.dtype == "float16":
        yield {"dtype": "bfloat16"}
        yield {"dtype": "float32"}
    if finding.rule == "precision_loss" and e.dtype == "bfloat16":
        yield {"dtype": "float32"}
    yield from _usual(e)
    scale = _critical_scale(e)
    if scale is not None and scale != e.init_scale:
        yield {"init_scale": scale}
    recommended = ACTIVATIONS[e.phi].recommended_init
    whole = {} if e.init_scale == 1 else {"init_scale": 1.0}
    for init in dict.fromkeys((recommended, "kaiming_normal", "lsuv", "orthogonal")):
        if init != e.init or whole:
            yield {"init": init, **whole} if init != e.init else whole
    if e.bias_std > 0:
        yield {"bias_std": 0.0}
    if e.batch < FEW_SAMPLES:
        yield {"batch": SAMPLES}
    if e.width < FEW_UNITS:
        yield {"width": UNITS}
    yield from _architecture(e, {"init": recommended, **whole})


def _usual(e: Experiment) -> Iterator[Change]:
    unusual = {name: value for name, value in USUAL.items() if getattr(e, name) != value}
    parameter = ACTIVATIONS[e.activation].parameter
    if parameter is not None and e.alpha not in (None, parameter.usual):
        unusual["alpha"] = parameter.usual
    yield from ({name: value} for name, value in unusual.items())
    if len(unusual) > 1:
        yield unusual


def _architecture(e: Experiment, init: Change) -> Iterator[Change]:
    if e.block_order != (usual := Experiment.model_fields["block_order"].default):
        yield {"block_order": usual}
    norms = [n for n in ("layer", "batch", "rms") if n != e.norm]
    if chosen_norm(e.norm):
        yield {"norm": "none"}
    if not e.residual:
        yield {"residual": True}
    for norm in norms:
        yield {"norm": norm}
        yield {"norm": norm, "residual": True} if not e.residual else {"norm": norm, **init}
    if ACTIVATIONS[e.phi].often_at_fault:
        yield {"activation": "relu", **init, "init": "kaiming_normal"}


def _critical_scale(e: Experiment) -> float | None:
    """The init scale at which theory neither grows nor shrinks the gradient; None if unknown."""
    scheme = INITS[e.init]
    variance = e.weight_variance(e.width, e.width) if scheme.mean_field else None
    if not variance or not e.hidden_gain or chosen_norm(e.norm) or e.residual or e.beyond_theory:
        return None
    try:
        sigma_w2 = critical_point(e.phi, e.bias_variance(e.width)).sigma_w2
    except NoCriticalPoint:
        return None
    scale = math.sqrt(sigma_w2 / (variance * e.width)) / e.hidden_gain
    return float(f"{scale:.3g}") if 0 < scale <= 100 else None


def verified_fix(
    experiment: Experiment, before: Evidence, finding: Finding, *,
    outcomes: Outcomes | None = None, should_stop: ShouldStop = never,
) -> Fix | None:  # fmt: skip
    """The first candidate that works for ``finding``, found in ``before``, or None; ``outcomes``
    are those of the candidates for other findings.

    Works: run with the same seed and data, the rule finds nothing any more, none finds anything at
    warning or above that had not found as much before, every parameter gets a gradient, and some
    dozens of steps learn, with SGD and with Adam.
    """
    spent, most = 0, fixes_cost(experiment).bytes
    known = diagnose(before)
    outcomes = outcomes or Outcomes()
    learning = Learning(most, should_stop, outcomes.learned)
    seen: list[Change] = []
    for change in candidates(experiment, finding):
        changed = Experiment.model_validate({**experiment.to_dict(), **change})
        if len(seen) >= TRIES or change in seen or changed == experiment:
            continue
        needed = passes_flops(changed, TYPICAL)
        if spent + needed > BUDGET_FLOPS or cost(changed).bytes > most:
            continue
        spent += needed
        seen.append(change)
        after = outcomes.of(changed, should_stop)
        better = _better(finding, known, after.findings)
        if better and after.whole and learning.with_both(changed):
            return Fix(finding.rule, change, len(seen), _curves(before), after.curves)
    return None


def fixes_cost(experiment: Experiment) -> Cost:
    """What trying fixes takes at most: as many operations as there may be findings and tries within
    the budget, at this machine's prices, and the memory of the change that takes most."""
    wider = "float64" if experiment.dtype == "float64" else "float32"
    changes: list[Change] = [
        {"dtype": wider},
        {"norm": "layer", "residual": True},
        {"init": "lsuv"},
    ]
    each = [cost(experiment.model_copy(update=change)) for change in changes]
    tries = min(TRIES * passes_flops(experiment, TYPICAL), BUDGET_FLOPS)
    tries = here(tries, experiment) + learning_flops(experiment)
    return Cost(FINDINGS * tries, max(c.bytes for c in each))


def _better(finding: Finding, before: list[Finding], after: list[Finding]) -> bool:
    known, left = _severities(before), _severities(after)
    new = [
        rule
        for rule, severity in left.items()
        if severity >= WARNING and severity > known.get(rule, 0)
    ]
    worst = max(left.values(), default=-1)
    return finding.rule not in left and not new and worst < SEVERITIES.index(finding.severity)


def _severities(findings: list[Finding]) -> dict[str, int]:
    """By rule, consequences too."""
    every = [f for root in findings for f in (root, *root.consequences)]
    return {f.rule: SEVERITIES.index(f.severity) for f in every}


def _all_get_gradients(evidence: Evidence) -> bool:
    gradients = [p.gradient for r in evidence.records for p in r.parameters.values()]
    return all(g is not None and g.finite == g.count and g.zeros < g.count for g in gradients)


def _curves(evidence: Evidence) -> dict[str, list[float | None]]:
    return {
        "activation_rms": [r.activation.rms for r in evidence.block_outputs],
        "gradient_rms": [r.gradient.rms if r.gradient else None for r in evidence.block_outputs],
    }
