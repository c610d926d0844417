"""The last steps of a run in memory: bounded, however long it goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from layerscope.engine.execution.records import Facts
from layerscope.engine.probe.facts import ModuleFacts
from layerscope.engine.probe.step import Outline, Step

__all__ = ["Ring"]

STEPS = 512
BYTES = 32 * 2**20
LOSSES = 4096
FIRST = 16


class Ring:
    """Holds what a run tells: facts, and of the steps as many of the last as fit."""

    def __init__(self, steps: int = STEPS, size: int = BYTES) -> None:
        self.most_steps = steps
        self.most_bytes = size
        self.facts: list[ModuleFacts] = []
        self.losses: deque[tuple[int, float]] = deque(maxlen=LOSSES)
        """Of the last steps, recorded or not, by number."""
        self.first_losses: list[float] = []
        """Of the first steps of all."""
        self._steps: deque[tuple[int, bytes, bool]] = deque()
        """Number, bytes, and whether it was looked at closely."""
        self._bytes = 0

    def modules(self, facts: Sequence[Facts]) -> None:
        """What is known of every module, in place of what was told before."""
        self.facts = [f for f in facts if isinstance(f, ModuleFacts)]

    def loss(self, number: int, value: float) -> None:
        """The loss of a step."""
        self.losses.append((number, value))
        if len(self.first_losses) < FIRST:
            self.first_losses.append(value)

    def add(self, number: int, payload: bytes, *, looked: bool = False) -> None:
        """One more step; the oldest go where it would be too many."""
        self._steps.append((number, payload, looked))
        self._bytes += len(payload)
        while len(self._steps) > 1 and (
            len(self._steps) > self.most_steps or self._bytes > self.most_bytes
        ):
            self._bytes -= len(self._steps.popleft()[1])

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return (Step.from_bytes(payload) for _, payload, _ in list(self._steps))

    def outlines(self, first: int, looked: int, last: int) -> list[Outline]:
        """The oldest steps that are still there, the newest, and of those between the newest that
        were looked at closely; so many of each at most."""
        every = list(self._steps)
        between = [each for each in every[first:-last] if each[2]]
        between = between[max(0, len(between) - looked) :]
        chosen = every[:first] + between + every[first:][-last:]
        return [Outline.from_bytes(payload) for _, payload, _ in chosen]

    def step(self, number: int) -> Step | None:
        """One step with all that was recorded of it; None where it is no longer there."""
        payload = next((p for n, p, _ in list(self._steps) if n == number), None)
        return None if payload is None else Step.from_bytes(payload)
