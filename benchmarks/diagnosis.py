"""Hits, misses and false alarms of the diagnosis on the corpus, per rule.

Prints the table, then what is left of the errors once each experiment was tried, and with
``--write`` publishes both for the page "How well does it diagnose?" and in ``docs/diagnosis.md``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
from functools import partial
from pathlib import Path
from typing import Any

import torch

from layerscope.engine.diagnosis.evaluation import HERE, corpus, evaluate
from layerscope.engine.diagnosis.evaluation_of_trials import (
    AfterTrial,
    adam_alone,
    count_trials,
    judge_by_trial,
)
from layerscope.engine.execution.cost import passes_flops
from layerscope.engine.execution.prices import TYPICAL
from layerscope.engine.experiment.specification import Experiment

__all__ = ["DOCS", "documented"]

DOCS = Path(__file__).parent.parent / "docs" / "diagnosis.md"
BLOCK = re.compile(r"(<!-- trials: .*? -->\n).*?(<!-- /trials -->)", re.DOTALL)
KINDS = {
    "faulty": "faulty: neither trains it",
    "healthy": "healthy: both do",
    "adam_only": "Adam alone trains it",
}


def documented(text: str, trials: dict[str, Any]) -> str:
    """``text``, of the documentation, with the counts once tried written anew, and those of each
    kind of the half that is held out."""
    halves = [trials["held_out"], trials["choosing"]]
    rows = ["| an error accuses | held out: from the pass | once tried | chosen by: from the pass "
            "| once tried |", "|---|---|---|---|---|"]  # fmt: skip
    for group, words in KINDS.items():
        counts = [h[group] for h in halves]
        told = [f"{c[n]} of {c['cases']}" for c in counts for n in ("errors_before", "errors")]
        rows.append(f"| {words} | {' | '.join(told)} |")
    rows += ["", "| held out, once tried | faulty | healthy | Adam alone |", "|---|---|---|---|"]
    for kind, groups in trials["kinds"].items():
        told = [f"{groups[g]['errors']} of {groups[g]['cases']}" for g in KINDS]
        rows.append(f"| {kind} | {' | '.join(told)} |")
    table = "\n".join(rows)
    return BLOCK.sub(lambda m: f"{m[1]}\n{table}\n\n{m[2]}", text)


def _judged(cases: list[dict[str, Any]], place: int) -> AfterTrial:
    return judge_by_trial(cases[place])


def judged_by_trials(cases: list[dict[str, Any]], jobs: int) -> list[AfterTrial | None]:
    """Every case that has a truth, or that Adam alone trains, tried; what takes longest last."""
    asked = [i for i, c in enumerate(cases) if c["healthy"] is not None or adam_alone(c)]
    asked.sort(key=lambda i: passes_flops(Experiment(**cases[i]["experiment"]), TYPICAL))
    judged: list[AfterTrial | None] = [None] * len(cases)
    with multiprocessing.Pool(jobs, torch.set_num_threads, (1,)) as pool:
        for place, one in zip(asked, pool.imap(partial(_judged, cases), asked), strict=True):
            judged[place] = one
    return judged


def main() -> None:
    """Evaluate, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="publish the table")
    parser.add_argument("--jobs", type=int, default=2, help="processes that try experiments")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = evaluate(corpus())
    print(f"{'rule':22} {'hits':>5} {'sole':>5} {'false alarms':>13} {'warnings':>9}")
    for row in table["rules"]:
        print(
            f"{row['rule']:22} {row['hits']:5} {row['sole']:5} {row['false_alarms']:13} "
            f"{row['warnings']:9}"
        )
    print(
        f"{table['faulty']} faulty: recall {table['recall']:.3f}; {table['healthy']} healthy: "
        f"false alarms {table['false_alarm_rate']:.3f}; {table['undecided']} in between, left out"
    )
    held = table["held_out"]
    print(
        f"held out, from the pass: {held['missed']} of {held['faulty']} faulty "
        f"missed, {held['false_alarms']} of {held['healthy']} healthy alarmed"
    )
    for case in table["missed"]:
        print("missed", json.dumps(case))
    for case in table["false_alarms"]:
        print("false alarm", json.dumps(case))
    trials = count_trials(corpus(), judged_by_trials(corpus(), options.jobs))
    table["after_trials"] = trials
    print(
        f"{trials['tried']} tried, the errors of {len(trials['lowered'])} lowered to warnings, "
        f"the warnings of {len(trials['raised'])} raised to errors"
    )
    print(f"{'errors that stand':22} {'all':>12} {'chosen by':>12} {'held out':>12}")
    for name in KINDS:
        counts = [trials[half][name] for half in ("all", "choosing", "held_out")]
        figures = " ".join(f"{c['errors']:6} of {c['cases']:3}" for c in counts)
        print(f"{name:22} {figures}   (before: {counts[0]['errors_before']})")
    if options.write:
        text = json.dumps(table, indent=1)
        (HERE / "evaluation.json").write_text(text + "\n", encoding="utf-8")
        text = documented(DOCS.read_text(encoding="utf-8"), trials)
        DOCS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
