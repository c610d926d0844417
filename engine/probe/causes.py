"""Which finding of a training follows from which: by its rule, by when it began, by its figures."""

from __future__ import annotations

from layerscope.engine.diagnosis import RULES, Finding
from layerscope.engine.diagnosis.diagnose import follows
from layerscope.engine.probe.rules import TRAINING_RULES

__all__ = ["FADES", "OVERFLOWS", "SILENT", "began", "leads_to", "of_targets", "of_zeros"]

NOT_OF_A_PASS = frozenset({*TRAINING_RULES, "nonfinite"})
FADES = frozenset({"vanishing_gradient", "vanishing_activation", "rank_collapse"})
"""What leaves nothing to tell samples apart by, once biases have moved."""
BREAKS = frozenset({"nonfinite", "learning_rate_high"})
OVERFLOWS = frozenset({"exploding_activation", "exploding_gradient", "output_scale"})
"""What no number can hold in the end, and no step undo: it was so before the first one."""
STEPS_TOO_FAR = frozenset({"learning_rate_high", "stale_gradients"})
"""What begins with the optimiser's steps explains nothing that was there before them."""
SILENT = frozenset({"dead_units", "vanishing_activation", "symmetry", "saturation", "nonfinite"})
SILENCE = frozenset({"constant_output", "learning_rate_low"})
"""What follows where no signal passes: one answer for all, and nothing to learn from."""


def began(finding: Finding, begin: int) -> bool:
    """Whether it held in the first recorded pass, and ever since."""
    return finding.since is not None and finding.since <= begin


def of_zeros(finding: Finding) -> bool:
    """Whether it is about gradients of zeros, beside which nothing is known of what made them."""
    return finding.evidence.get("largest_gradient") == 0.0


def of_targets(finding: Finding) -> bool:
    """Whether it is about targets that steps of any usual size come no nearer to."""
    return bool({"times_constant", "times_output"} & set(finding.evidence))


def _is_symptom(finding: Finding) -> bool:
    """Whether it is of one pass, rather than of a training or of its first NaN."""
    return finding.rule in RULES and finding.rule not in NOT_OF_A_PASS


def _came_later(finding: Finding, other: Finding) -> bool:
    """Whether it can have begun with the optimiser's steps alone, or began after the other."""
    if finding.rule in STEPS_TOO_FAR:
        return True
    both = finding.since, other.since
    return None not in both and (finding.since or 0) > (other.since or 0)


def leads_to(cause: Finding, effect: Finding, *, begin: int = 0) -> bool:
    """Whether the second follows from the first, in a training whose records begin with step
    ``begin``: a mechanism is known, and it was not there before its cause."""
    if effect.rule in SILENCE and cause.rule in SILENT:
        return True
    if {cause.rule, effect.rule} == {"nonfinite", "learning_rate_high"}:
        return _of_rate(cause, effect)
    if _is_symptom(effect) and began(effect, begin) and _came_later(cause, effect):
        return False
    if _is_symptom(cause) and began(cause, begin) and cause.severity == "error":
        if effect.rule in BREAKS and cause.rule in OVERFLOWS:
            return True
        if effect.rule in STEPS_TOO_FAR and effect.severity == "warning":
            return True
        if effect.rule in SILENCE and cause.rule in FADES and _came_later(effect, cause):
            return True
    if cause.rule in TRAINING_RULES:
        return effect.rule in TRAINING_RULES[cause.rule].explains or _by_figures(cause, effect)
    if _by_figures(cause, effect):
        return True
    # Where the first NaN came from is known by itself, whatever the newest step looks like.
    return cause.rule in RULES and effect.rule in RULES and follows(cause, effect)


def _by_figures(cause: Finding, effect: Finding) -> bool:
    """What follows not from a rule as such, but from what it has seen: of outputs far from what is
    asked, that small steps bring them no nearer; of inputs too large or too small, that no gradient
    is left; of norms that do not norm, that the signal goes where it goes without them."""
    if cause.rule == "output_scale":
        return of_targets(effect)
    if cause.rule == "eval_mode":
        return bool(cause.evidence.get("norms")) and effect.rule in FADES | OVERFLOWS
    return cause.rule == "input_scale" and of_zeros(effect)


def _of_rate(cause: Finding, effect: Finding) -> bool:
    """Of a rate and what is not finite: the rate is the cause, unless numbers had been beyond what
    any rate could help before the first step."""
    rate = cause if cause.rule == "learning_rate_high" else effect
    return (rate is effect) is rate.evidence.get("beyond_any_rate", False)
