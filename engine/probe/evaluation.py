"""How well the rules over a training diagnose real small ones: the published table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["PUBLISHED", "evaluation"]

PUBLISHED = Path(__file__).parent / "evaluation.json"


def evaluation() -> dict[str, Any]:
    """What ``python -m benchmarks.trainings --write`` has found: rates over ``all`` trainings, over
    those by which ``thresholds`` may be chosen and over those ``held_out``, by rule, and by case.

    >>> sorted(evaluation()["held_out"])
    ['apart', 'false_alarms', 'healthy', 'pairs', 'recall', 'right_kind']
    """
    table: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return table
