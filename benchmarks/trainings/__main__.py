"""How well the probe diagnoses real small trainings: hits, right names and false alarms.

``python -m benchmarks.trainings`` trains each fault and its repaired twin, and what only looks
wrong, over three seeds, and prints what is said of them, by rule and by half: the one by which
thresholds may be chosen, and the one that is held out. ``--write`` publishes the table for the page
"How well does it diagnose?". ``--only NAME`` takes the cases whose name contains it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import joblib

from benchmarks.trainings.case import CASES
from benchmarks.trainings.evaluate import SEEDS, by_name, totals, wrong
from layerscope.engine.probe.evaluation import PUBLISHED


def main() -> None:
    """Train, count, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="publish the table")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    if options.write and (options.only or options.seeds != SEEDS):
        parser.error(f"--write publishes all cases over {SEEDS} seeds")
    chosen = [case for name, case in CASES.items() if options.only in name]
    judge = joblib.delayed(by_name)
    rows = joblib.Parallel(options.jobs)(judge(case.name, options.seeds) for case in chosen)
    table = totals(rows, options.seeds)
    _print(table)
    if options.write:
        PUBLISHED.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def _print(table: dict[str, Any]) -> None:
    print(
        f"{'':24} {'pairs':>5} {'recall':>7} {'kind':>7} {'apart':>7} {'healthy':>8} {'alarms':>7}"
    )
    halves = [("all", "all"), ("for thresholds", "thresholds"), ("held out", "held_out")]
    for title, row in [
        *((title, table[key]) for title, key in halves),
        *((row["rule"], row) for row in table["rules"]),
    ]:
        print(
            f"{title:24} {row['pairs']:5} {_percent(row['recall'])} {_percent(row['right_kind'])} "
            f"{_percent(row['apart'])} {row['healthy']:8} {_percent(row['false_alarms'])}"
        )
    for line in wrong(table["cases"]):
        print(line)


def _percent(share: float | None) -> str:
    return f"{'–':>7}" if share is None else f"{share:7.1%}"


if __name__ == "__main__":
    main()
