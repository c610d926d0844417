"""Counts what the probe says of the corpus: found, named, told apart, and who is accused wrongly.

A training is *found* if anything more than a note is said of it, *named* if that is one of the
names of its fault as a cause of its own, and a pair is *told apart* if the faulty one is named and
its twin is not accused of that. What a healthy training is accused of is a false alarm. Every case
counts once per seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from benchmarks.trainings import cases as _registered  # noqa: F401  fills the registry
from benchmarks.trainings.case import CASES, Case
from benchmarks.trainings.running import Result, accused, carried_out

__all__ = ["SEEDS", "by_name", "judged", "totals", "wrong"]

SEEDS = 3
CLEARLY = 0.8  # of the faulty one's loss: below that a twin has come clearly further
LEARNED = 0.9  # of the loss before: whoever is healthy and has something to learn comes below


def by_name(name: str, seeds: int = SEEDS) -> dict[str, Any]:
    """The row of the case of this name, in whatever process: on one thread, as in all of them."""
    torch.set_num_threads(1)
    return judged(CASES[name], seeds)


def judged(case: Case, seeds: int = SEEDS) -> dict[str, Any]:
    """One case over its seeds: whether its fault is one, and what was said of it.

    ``is_fault``: with every seed the repaired twin comes below ``CLEARLY`` of the faulty one's
    loss, or that is not finite. ``is_healthy``: the healthy one learns with every seed.
    """
    sound = [carried_out(case.build, False, seed) for seed in range(seeds)]
    broken = [carried_out(case.build, True, seed) for seed in range(seeds)] if case.rules else []
    said = [accused(result.findings) for result in sound]
    row: dict[str, Any] = {
        "name": case.name, "kind": case.kind, "title": case.title, "held_out": case.held_out,
        "rule": case.rules[0] if case.rules else None,
        "is_healthy": not case.learnable or all(r.after < LEARNED * r.before for r in sound),
        "loss": _losses(sound),
        "alarms": sum(map(bool, said)),
        "accused_of": sorted({rule for rules in said for rule in rules}),
    }  # fmt: skip
    if case.rules:
        told = [accused(result.findings) for result in broken]
        hit = [bool(set(rules) & set(case.rules)) for rules in told]
        row |= {
            "is_fault": all(
                math.isnan(b.after) or s.after < CLEARLY * b.after
                for s, b in zip(sound, broken, strict=True)
            ),
            "faulty_loss": _losses(broken),
            "found": sum(map(bool, told)),
            "named": sum(hit),
            "apart": sum(
                named and not set(rules) & set(case.rules)
                for named, rules in zip(hit, said, strict=True)
            ),
            "told": sorted({rule for rules in told for rule in rules}),
        }
    return row


def _losses(results: Sequence[Result]) -> list[float | None]:
    """To three digits; None where one is not finite."""
    return [None if math.isnan(r.after) else float(f"{r.after:.3g}") for r in results]


def totals(rows: Sequence[dict[str, Any]], seeds: int) -> dict[str, Any]:
    """Rates over ``rows`` and over the halves, by rule too. A fault that its twin does not show to
    be one counts neither as faulty nor as a pair."""
    rules = sorted({row["rule"] for row in rows if row["rule"]})
    alarms = [rule for row in rows for rule in row["accused_of"]]
    return {
        "seeds": seeds,
        "all": _rates(rows, seeds),
        "thresholds": _rates([row for row in rows if not row["held_out"]], seeds),
        "held_out": _rates([row for row in rows if row["held_out"]], seeds),
        "rules": [
            {"rule": rule, **_rates([row for row in rows if row["rule"] == rule], seeds),
             "accuses_healthy": alarms.count(rule)}
            for rule in [*rules, *sorted(set(alarms) - set(rules))]
        ],
        "cases": list(rows),
    }  # fmt: skip


def _rates(rows: Sequence[dict[str, Any]], seeds: int) -> dict[str, Any]:
    faults = [row for row in rows if row.get("is_fault")]
    sound = [row for row in rows if row["is_healthy"]]
    runs = seeds * len(faults)
    return {
        "pairs": len(faults),
        "healthy": len(sound),
        "recall": _share(faults, "found", runs),
        "right_kind": _share(faults, "named", runs),
        "apart": _share(faults, "apart", runs),
        "false_alarms": _share(sound, "alarms", seeds * len(sound)),
    }


def _share(rows: Iterable[dict[str, Any]], count: str, of: int) -> float | None:
    return round(sum(row[count] for row in rows) / of, 4) if of else None


def wrong(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """In words: what was missed, called something else, or accused though it is healthy."""
    for row in rows:
        if row.get("is_fault") is False:
            yield f"not shown to be a fault: {row['name']}"
        if not row["is_healthy"]:
            yield f"does not learn though nothing is wrong: {row['name']}"
        if row["alarms"]:
            yield f"false alarm: {row['name']}: {', '.join(row['accused_of'])}"
        if "told" in row and row["named"] < row["found"]:
            yield f"other kind: {row['name']} ({row['rule']}): {', '.join(row['told'])}"
        if "told" in row and row["found"] < len(row["faulty_loss"]):
            yield f"missed: {row['name']} ({row['rule']}), found with {row['found']} seeds"
