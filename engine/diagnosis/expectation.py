"""What theory expected, added to findings in words and figures; it is no evidence of a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.theory import Prediction

__all__ = ["beside_theory"]

Expectation = Callable[[Prediction], tuple[str, dict[str, Any]]]


def _correlation(theory: Prediction) -> tuple[str, dict[str, Any]]:
    expected = theory.c_star
    words = "" if expected is None else f" Theory expects correlations to go to {expected:.3g}."
    return words, {"theory_c_star": expected}


def _growth(theory: Prediction) -> tuple[str, dict[str, Any]]:
    words = ""
    if theory.chi1 is not None and theory.phase is not None:
        words = (
            f" Theory expects it: χ1 = {theory.chi1:.3g} at σw² = {theory.sigma_w2:.3g}, the "
            f"{theory.phase} phase."
            if theory.phase != "critical"
            else f" Theory (χ1 = {theory.chi1:.3g}) expects it to hold: this is finite width."
        )
    return words, {"theory_chi1": theory.chi1, "theory_phase": theory.phase}


EXPECTATIONS: Mapping[str, Expectation] = {
    "rank_collapse": _correlation,
    "exploding_activation": _growth,
    "vanishing_activation": _growth,
    "exploding_gradient": _growth,
    "vanishing_gradient": _growth,
}
"""By rule; of what another rule found, theory says nothing."""
NOTHING: tuple[str, dict[str, Any]] = "", {}


def beside_theory(findings: Sequence[Finding], theory: Prediction) -> list[Finding]:
    """The findings, with what theory expected added to explanation and evidence."""
    told = []
    for f in findings:
        words, figures = EXPECTATIONS[f.rule](theory) if f.rule in EXPECTATIONS else NOTHING
        explanation, evidence = f.explanation + words, {**f.evidence, **figures}
        below = beside_theory(f.consequences, theory)
        told.append(replace(f, explanation=explanation, evidence=evidence, consequences=below))
    return told
