"""Where what is recorded goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from layerscope.engine.execution.records import Facts

__all__ = ["Nowhere", "Sink", "sink_for"]


class Sink(Protocol):
    """Whoever keeps a run; called by the probe's writing thread alone, and at the end."""

    def modules(self, facts: Sequence[Facts]) -> None:
        """The facts of all modules, in place of those told before."""

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None:
        """One step, as ``Step.to_bytes`` has it."""

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None:
        """All findings there are, in place of those told before."""

    def summary(self, summary: Mapping[str, Any]) -> None:
        """What is known of the run as a whole."""

    def finish(self, state: Any) -> None:
        """Nothing more comes."""


class Nowhere:
    """The last steps in memory are enough."""

    def modules(self, facts: Sequence[Facts]) -> None: ...

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None: ...

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None: ...

    def summary(self, summary: Mapping[str, Any]) -> None: ...

    def finish(self, state: Any) -> None: ...


def sink_for(to: Any, name: str | None, config: Mapping[str, Any] | None) -> Sink:
    """What ``watch`` was given as ``to``. Errors: ``ValueError`` for what names no place."""
    if to == ":memory:":
        return Nowhere()
    from layerscope.engine.store import open_run

    return open_run(to, name, config)
