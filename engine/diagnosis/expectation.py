"""What theory expected, added to findings in words and figures; it is no evidence of a rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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


def _change(theory: Prediction, *, grows: bool, of_gradient: bool) -> tuple[str, dict[str, Any]]:
    figures: dict[str, Any] = {"theory_chi1": theory.chi1, "theory_phase": theory.phase}
    if theory.chi1 is None:
        return "", figures
    words = ""
    if theory.phase is None:
        if of_gradient:
            words = f" Theory expects a factor of √χ1 = {math.sqrt(theory.chi1):.3g} a block"
            words += f": χ1 = {theory.chi1_is}." if theory.chi1_is else "."
    elif theory.phase == "critical":
        words = f" Theory (χ1 = {theory.chi1:.3g}) expects it to hold: this is finite width."
    else:
        agrees = (theory.phase == "chaotic") == grows
        words = f" Theory expects {'it' if agrees else 'otherwise'}: χ1 = {theory.chi1:.3g}"
        words += f" at σw² = {theory.sigma_w2:.3g}, the {theory.phase} phase."
    return words, figures


EXPECTATIONS: Mapping[str, Expectation] = {
    "rank_collapse": _correlation,
    "exploding_activation": partial(_change, grows=True, of_gradient=False),
    "vanishing_activation": partial(_change, grows=False, of_gradient=False),
    "exploding_gradient": partial(_change, grows=True, of_gradient=True),
    "vanishing_gradient": partial(_change, grows=False, of_gradient=True),
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
