"""What the diagnosis knows of itself: its rules, and how well they do."""

from __future__ import annotations

from typing import Any

from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.evaluation import evaluation as published
from layerscope.engine.probe.evaluation import evaluation as published_of_trainings
from layerscope.engine.probe.rules import TRAINING_RULES

__all__ = ["evaluation", "evaluation_of_trainings", "rules_table"]


def evaluation() -> dict[str, Any] | None:
    """How often the rules hit, miss and cry wolf over the corpus; None before it was measured."""
    try:
        return published()
    except FileNotFoundError:
        return None


def evaluation_of_trainings() -> dict[str, Any] | None:
    """The same of the rules over a training, over real small ones."""
    try:
        return published_of_trainings()
    except FileNotFoundError:
        return None


def rules_table() -> dict[str, Any]:
    """Every rule in its own words, of one pass and over a training, and the evaluations.

    >>> "nonfinite" in {rule["name"] for rule in rules_table()["rules"]}
    True
    """
    rules, training_rules = (
        [
            {"name": r.name, "formula": r.formula, "help": r.help, "source": r.source,
             "explains": list(r.explains)}
            for r in registry.values()
        ]
        for registry in (RULES, TRAINING_RULES)
    )  # fmt: skip
    return {
        "rules": rules, "evaluation": evaluation(),
        "training_rules": training_rules, "evaluation_of_trainings": evaluation_of_trainings(),
    }  # fmt: skip
