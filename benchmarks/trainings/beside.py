"""Counts what peers say of the corpus, by the same definitions for all of them.

Any alarm about a faulty training *finds* it, and any about a healthy one is *false*. A pair is told
*apart* if there is an alarm about the faulty one and none about its twin. The *kind* is right if
one of the alarms means a name of the fault. A training in which a peer raises is not judged by it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from benchmarks.trainings import cases as _registered  # noqa: F401  fills the registry
from benchmarks.trainings.case import CASES, Case
from benchmarks.trainings.peers import PEERS, Peer
from benchmarks.trainings.running import carried_out

__all__ = ["counted", "heard", "heard_by_name", "told"]


def heard_by_name(package: str, name: str, seeds: int) -> dict[str, Any]:
    """``heard`` in whatever process: on one thread, and without what peers log."""
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)
    peer = next(each for each in PEERS if each.package == package)
    return heard(peer, CASES[name], seeds)


def heard(peer: Peer, case: Case, seeds: int) -> dict[str, Any]:
    """What ``peer`` says of the sound and of the faulty one, a list per seed, and in ``raised``
    what it stumbled over; None stands for what it does not judge."""
    raised: list[str] = []

    def said(faulty: bool, seed: int) -> list[str] | None:
        try:
            return carried_out(case.build, faulty, seed, peer.trained).findings
        except Exception as error:
            raised.append(f"{type(error).__name__}: {error}")
            return None

    return {
        "name": case.name,
        "rules": case.rules,
        "sound": [said(False, seed) for seed in range(seeds)],
        "broken": [said(True, seed) for seed in range(seeds)] if case.rules else [],
        "raised": raised,
    }


def counted(
    peer: Peer, rows: Sequence[dict[str, Any]], faults: set[str], sound: set[str]
) -> dict[str, Any]:
    """Rates over what is judged: of the names in ``faults``, which a twin shows to be ones, and of
    the healthy ones in ``sound``. None where nothing is."""
    pairs = [
        (set(row["rules"]), broken, twin)
        for row in rows
        if row["name"] in faults
        for broken, twin in zip(row["broken"], row["sound"], strict=True)
    ]
    ill = [(rules, said) for rules, said, _ in pairs if said is not None]
    both = [(a, b, c) for a, b, c in pairs if b is not None and c is not None]
    well = [said for row in rows if row["name"] in sound for said in row["sound"]]
    return {
        "recall": _share(bool(said) for _, said in ill),
        "right_kind": _share(bool(rules & peer.rules(said)) for rules, said in ill),
        "apart": _share(bool(said) and not twin for _, said, twin in both),
        "apart_by_kind": _share(
            bool(rules & peer.rules(said)) and not rules & peer.rules(twin)
            for rules, said, twin in both
        ),
        "false_alarms": _share(bool(said) for said in well if said is not None),
        "not_judged": [said for _, said, _ in pairs].count(None) + well.count(None),
        "of": len(pairs) + len(well),
    }


def _share(hits: Iterable[bool]) -> float | None:
    each = list(hits)
    return round(sum(each) / len(each), 4) if each else None


def told(rows: Sequence[dict[str, Any]], sound: set[str]) -> Iterator[str]:
    """In words: about how many healthy trainings which alarm is given, and what was raised."""
    alarms: dict[str, set[str]] = {}
    for row in rows:
        for word in {_short(w) for said in row["sound"] for w in said or []}:
            if row["name"] in sound:
                alarms.setdefault(word, set()).add(row["name"])
    for word, names in sorted(alarms.items(), key=lambda item: (-len(item[1]), item[0]))[:8]:
        yield f"about {len(names)} healthy ones: {word}"
    for row in rows:
        if row["raised"]:
            yield f"not judged: {row['name']}: {row['raised'][0].splitlines()[0][:120]}"


def _short(words: str) -> str:
    """The alarm without where and how much: no word with a digit or a dot in it but the first."""
    first, *rest = words.removeprefix("•").split()
    kept = [w for w in rest if w.isalpha() or w.rstrip(":.,").isalpha()]
    return " ".join([first, *kept])[:70]
