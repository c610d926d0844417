"""Hits, misses and false alarms of the diagnosis on the corpus, per rule.

Prints the table, and with ``--write`` publishes it for the page "How well does it diagnose?".
"""

from __future__ import annotations

import argparse
import json

import torch

from layerscope.engine.diagnosis.evaluation import HERE, corpus, evaluate


def main() -> None:
    """Evaluate, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="publish the table")
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
        f"drawn after the thresholds were set: {held['missed']} of {held['faulty']} faulty "
        f"missed, {held['false_alarms']} of {held['healthy']} healthy alarmed"
    )
    for case in table["missed"]:
        print("missed", json.dumps(case))
    for case in table["false_alarms"]:
        print("false alarm", json.dumps(case))
    if options.write:
        text = json.dumps(table, indent=1)
        (HERE / "evaluation.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
