"""What the probe says to whoever trains: warnings, once for each kind, and new findings."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from layerscope.engine.diagnosis import SEVERITIES, Finding
from layerscope.engine.diagnosis.finding import Severity
from layerscope.engine.diagnosis.roots import every
from layerscope.engine.probe.lines import users_place

__all__ = ["News", "ProbeWarning", "Teller", "TrainingStopped"]


class ProbeWarning(UserWarning):
    """Something about the probe that the user should know; the training goes on."""


class TrainingStopped(Exception):
    """Ends a ``with`` block, and no more than that, at a finding as bad as ``stop_on`` says."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.title)
        self.finding = finding


class Teller:
    """Warns once for each kind of thing, at the user's own line."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._made_at = users_place()

    def __call__(self, kind: str, sentence: str) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        # From the writing thread no stack leads to the user's program: there it is where the probe
        # was made.
        file, line = users_place() or self._made_at or ("<unknown>", 0)
        try:
            warnings.warn_explicit(f"layerscope: {sentence}", ProbeWarning, file, line)
        except ProbeWarning as warning:  # warnings are errors here, but this one ends no training
            sys.stderr.write(f"{warning}\n")


class News:
    """Hands each finding on once, and again when it gets worse; may end the training."""

    def __init__(
        self, on_finding: Callable[[Finding], Any] | None, stop_on: Severity | None
    ) -> None:
        self.wanted = on_finding is not None or stop_on is not None
        self.stopped: TrainingStopped | None = None
        """What it has raised."""
        self._on_finding = on_finding
        self._stop_on = stop_on
        self._told: dict[str, Severity] = {}

    def of(self, findings: Sequence[Finding]) -> list[Finding]:
        """Those that are new, or worse than they were: a cause with its consequences, or what has
        come up under a cause that is known."""
        new = []
        for root in findings:
            told = [root] if self._is_new(root) else list(filter(self._is_new, root.consequences))
            new += told
        for each in every(findings):
            if self._is_new(each):
                self._told[each.rule] = each.severity
        return new

    def _is_new(self, finding: Finding) -> bool:
        told = self._told.get(finding.rule)
        return told is None or not _at_least(told, finding.severity)

    def tell(self, findings: Sequence[Finding]) -> None:
        """Errors: ``TrainingStopped``, and whatever the user's ``on_finding`` raises."""
        for finding in findings:
            if self._on_finding is not None:
                self._on_finding(finding)
            if self._stop_on and _at_least(finding.severity, self._stop_on):
                self.stopped = TrainingStopped(finding)
                raise self.stopped


def _at_least(severity: str, least: str) -> bool:
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)
