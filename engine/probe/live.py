"""Findings while a training goes on: asked for by the writing thread, told where they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from layerscope.engine.diagnosis import Finding

__all__ = ["Live"]

PAUSE = 0.5
"""Seconds between two times that findings are asked for, at least."""
SHARE = 0.02
"""Of the time, that asking may take up: it holds the interpreter, which the training needs too."""


class Live:
    """Asks soon after something has happened, but not at every step; ``tell`` gets all findings
    whenever there are others than before.

    ``expected``: seconds that the second time is taken to cost, since the first says nothing of it:
    there is next to nothing to judge yet.
    """

    def __init__(
        self,
        ask: Callable[[], list[Finding]],
        tell: Callable[[Sequence[Finding]], None],
        *,
        expected: float = 0.0,
    ) -> None:
        self._ask = ask
        self._tell = tell
        self._expected = expected
        self._next = 0.0
        self._waiting = False
        self._told: Any = []

    def happened(self, *, urgent: bool = False) -> None:
        """There is something new to judge; if ``urgent``, now."""
        self._waiting = True
        if urgent or time.monotonic() >= self._next:
            self.judge()

    def due(self) -> float | None:
        """Seconds until it should be asked again; None where nothing has happened."""
        return max(0.0, self._next - time.monotonic()) if self._waiting else None

    def judge(self) -> None:
        """Asks, and tells what has changed: which rules, where, since when and how severe."""
        self._waiting = False
        began = time.monotonic()
        found = self._ask()
        ended = time.monotonic()
        self._next = ended + max(PAUSE, max(ended - began, self._expected) / SHARE)
        self._expected = 0.0
        known = [_gist(finding) for finding in found]
        if known != self._told:
            self._told = known
            self._tell(found)


def _gist(finding: Finding) -> Any:
    below = [_gist(each) for each in finding.consequences]
    return finding.rule, finding.severity, finding.modules, finding.since, below
