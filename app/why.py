"""What the diagnosis knows of itself: its rules, and how well they do."""

from __future__ import annotations

from typing import Any

from layerscope.engine.diagnosis import RULES
from layerscope.engine.diagnosis.evaluation import evaluation as published

__all__ = ["evaluation", "rules_table"]


def evaluation() -> dict[str, Any] | None:
    """How often the rules hit, miss and cry wolf over the corpus; None before it was measured."""
    try:
        return published()
    except FileNotFoundError:
        return None


def rules_table() -> dict[str, Any]:
    """Every rule in its own words, and the evaluation.

    >>> "nonfinite" in {rule["name"] for rule in rules_table()["rules"]}
    True
    """
    rules = [
        {"name": r.name, "formula": r.formula, "help": r.help, "source": r.source,
         "explains": list(r.explains)}
        for r in RULES.values()
    ]  # fmt: skip
    return {"rules": rules, "evaluation": evaluation()}
