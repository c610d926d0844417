"""How well the rules diagnose a corpus whose truth was simulated without asking any rule; what is
published (``evaluation.json``) is what ``evaluate`` finds on it (``corpus.json``)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.diagnose import diagnose
from layerscope.engine.diagnosis.finding import Finding
from layerscope.engine.diagnosis.gathering import gather
from layerscope.engine.diagnosis.rule import RULES
from layerscope.engine.experiment.specification import Experiment

__all__ = ["HERE", "corpus", "evaluate", "evaluation"]

HERE = Path(__file__).parent


@lru_cache(maxsize=1)
def corpus() -> list[dict[str, Any]]:
    """Every specification drawn, with its truth: healthy, faulty, or None for in between.

    Those that are ``held_out`` were judged once, when all rules and thresholds were set, and
    nothing is chosen by them: the part that is reported. By the other thresholds were, and may be,
    chosen.
    """
    cases: list[dict[str, Any]] = json.loads((HERE / "corpus.json").read_text(encoding="utf-8"))
    return cases


def evaluation() -> dict[str, Any]:
    """The published table; a test holds it against ``evaluate``."""
    table: dict[str, Any] = json.loads((HERE / "evaluation.json").read_text(encoding="utf-8"))
    return table


def evaluate(
    cases: Sequence[dict[str, Any]],
    *,
    rules: Collection[str] = RULES,
    should_stop: ShouldStop = never,
) -> dict[str, Any]:
    """Run every case, diagnose it by ``rules`` alone; count.

    A case counts as found faulty if any finding is an error. Per rule: ``hits``, the faulty cases
    in which it found an error (as a cause or as a consequence); ``sole``, those in which no other
    rule did; ``false_alarms``, the healthy cases in which it did; ``warnings``, the healthy cases
    in which it found less. ``held_out`` counts apart the half that is reported;
    ``missed`` and ``false_alarms`` are specifications.
    """
    rows: dict[str, dict[str, Any]] = {
        name: {"rule": name, "hits": 0, "sole": 0, "false_alarms": 0, "warnings": 0}
        for name in rules
    }
    held_out = {"healthy": 0, "faulty": 0, "missed": 0, "false_alarms": 0}
    missed: list[dict[str, Any]] = []
    alarms: list[dict[str, Any]] = []
    for case in cases:
        if case["healthy"] is None:
            continue
        healthy = case["healthy"]
        findings = diagnose(gather(Experiment(**case["experiment"]), should_stop), rules)
        errors = _rules(findings, "error")
        for name in errors:
            rows[name]["false_alarms" if healthy else "hits"] += 1
            rows[name]["sole"] += not healthy and len(errors) == 1
        for name in _rules(findings, "warning") if healthy else ():
            rows[name]["warnings"] += 1
        if case.get("held_out"):
            held_out["healthy" if healthy else "faulty"] += 1
            held_out["missed"] += not healthy and not errors
            held_out["false_alarms"] += healthy and bool(errors)
        if healthy and errors:
            alarms.append({"experiment": case["experiment"], "rules": sorted(errors)})
        if not healthy and not errors:
            missed.append({k: v for k, v in case.items() if k != "healthy"})
    truths = [case["healthy"] for case in cases]
    sound, faulty = truths.count(True), truths.count(False)
    return {
        "healthy": sound,
        "faulty": faulty,
        "undecided": truths.count(None),
        "recall": 1 - len(missed) / faulty if faulty else None,
        "false_alarm_rate": len(alarms) / sound if sound else None,
        "held_out": held_out,
        "rules": list(rows.values()),
        "missed": missed,
        "false_alarms": alarms,
    }


def _rules(findings: Sequence[Finding], severity: str) -> set[str]:
    return {
        f.rule for root in findings for f in (root, *root.consequences) if f.severity == severity
    }
