"""Where what is recorded goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from layerscope.engine.execution.records import Facts

__all__ = ["Nowhere", "Place", "Several", "Sink", "sink_for"]


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


class Place(Sink, Protocol):
    """Where a run is kept."""

    page: str | None
    """The address of its page, where a server keeps it."""


class Nowhere:
    """The last steps in memory are enough."""

    page: str | None = None

    def modules(self, facts: Sequence[Facts]) -> None: ...

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None: ...

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None: ...

    def summary(self, summary: Mapping[str, Any]) -> None: ...

    def finish(self, state: Any) -> None: ...


class Several:
    """The run goes to the first; to others as long as they can take it."""

    def __init__(self, first: Place, others: Sequence[Sink], tell: Callable[[str, str], None]):
        self._first = first
        self.page = first.page
        self._others = list(others)
        self._tell = tell

    def _each(self, call: Callable[[Sink], None]) -> None:
        for other in list(self._others):
            try:
                call(other)
            except Exception as error:
                self._others.remove(other)
                name = type(other).__name__
                self._tell(name, f"{name} is left out from now on: {type(error).__name__}: {error}")
        call(self._first)

    def modules(self, facts: Sequence[Facts]) -> None:
        self._each(lambda sink: sink.modules(facts))

    def step(
        self, number: int, loss: float | None, payload: bytes, *, nonfinite: bool = False
    ) -> None:
        self._each(lambda sink: sink.step(number, loss, payload, nonfinite=nonfinite))

    def findings(self, findings: Sequence[Mapping[str, Any]]) -> None:
        self._each(lambda sink: sink.findings(findings))

    def summary(self, summary: Mapping[str, Any]) -> None:
        self._each(lambda sink: sink.summary(summary))

    def finish(self, state: Any) -> None:
        self._each(lambda sink: sink.finish(state))


def sink_for(to: Any, name: str | None, config: Mapping[str, Any] | None) -> Place:
    """What ``watch`` was given as ``to``. Errors: ``ValueError`` for what names no place."""
    if to == ":memory:":
        return Nowhere()
    from layerscope.engine.store import open_run

    return open_run(to, name, config)
