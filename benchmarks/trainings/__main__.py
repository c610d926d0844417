"""How well the probe diagnoses real small trainings: hits, right names and false alarms.

``python -m benchmarks.trainings`` trains each fault and its repaired twin, and what only looks
wrong, over three seeds, and prints what is said of them, by rule and by half: the one by which
thresholds may be chosen, and the one that is held out. ``--write`` publishes the table for the page
"How well does it diagnose?". ``--only NAME`` takes the cases whose name contains it.

``--peers`` prints instead what other diagnostics say of the same trainings, those of them that are
installed, and what layerscope says counted in the same way.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import joblib

from benchmarks.trainings.beside import counted, heard_by_name, told
from benchmarks.trainings.case import CASES
from benchmarks.trainings.evaluate import SEEDS, by_name, totals, wrong
from benchmarks.trainings.peers import PEERS
from layerscope.engine.probe.evaluation import PUBLISHED, evaluation


def main() -> None:
    """Train, count, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="publish the table")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--peers", action="store_true", help="what other diagnostics say")
    options = parser.parse_args()
    if options.write and (options.only or options.peers or options.seeds != SEEDS):
        parser.error(f"--write publishes all cases over {SEEDS} seeds, without peers")
    chosen = [case for name, case in CASES.items() if options.only in name]
    if options.peers:
        _print_peers([case.name for case in chosen], options.seeds, options.jobs)
        return
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


def _print_peers(names: list[str], seeds: int, jobs: int) -> None:
    """Which trainings are faulty and which are healthy is what the published table has found."""
    published = evaluation()["cases"]
    faults = {row["name"] for row in published if row.get("is_fault")}
    sound = {row["name"] for row in published if row["is_healthy"]}
    print(f"{'':26} {'recall':>7} {'kind':>7} {'apart':>7} {'by kind':>7} {'alarms':>7} not judged")
    judge, notes = joblib.delayed(heard_by_name), []
    for peer in PEERS:
        if not peer.installed:
            print(f"{peer.package:26} not installed: pip install {peer.package}=={peer.release}")
            continue
        rows = joblib.Parallel(jobs)(judge(peer.package, name, seeds) for name in names)
        found = counted(peer, rows, faults, sound)
        shares = ("recall", "right_kind", "apart", "apart_by_kind", "false_alarms")
        title = f"{peer.package} {peer.version}"
        rates = " ".join(_percent(found[key]) for key in shares)
        print(f"{title:26} {rates} {found['not_judged']} of {found['of']}", flush=True)
        notes += [f"{peer.package}: {line}" for line in told(rows, sound)]
    print("\n".join(notes))


def _percent(share: float | None) -> str:
    return f"{'–':>7}" if share is None else f"{share:7.1%}"


if __name__ == "__main__":
    main()
