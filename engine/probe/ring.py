"""The last steps of a run in memory: bounded, however long it goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from layerscope.engine.diagnosis import Finding
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
        self.since: dict[str, int] = {}
        """By rule: since which step what holds now has held, as far as it was asked."""
        self.judged: dict[int, list[Finding]] = {}
        """What the rules of one pass say of a step, by its number, where they were asked."""
        self._steps: deque[tuple[int, bytes]] = deque()
        self._bytes = 0

    def modules(self, facts: Sequence[Facts]) -> None:
        """What is known of every module, in place of what was told before."""
        self.facts = [f for f in facts if isinstance(f, ModuleFacts)]

    def loss(self, number: int, value: float) -> None:
        """The loss of a step."""
        self.losses.append((number, value))
        if len(self.first_losses) < FIRST:
            self.first_losses.append(value)

    def add(self, number: int, payload: bytes) -> None:
        """One more step; the oldest go where it would be too many."""
        self._steps.append((number, payload))
        self._bytes += len(payload)
        while len(self._steps) > 1 and (
            len(self._steps) > self.most_steps or self._bytes > self.most_bytes
        ):
            number, payload = self._steps.popleft()
            self._bytes -= len(payload)
            self.judged.pop(number, None)

    def newest_from(self, first: int, last: int) -> int:
        """The number of the first of the newest steps that `outlines` of so many gives."""
        numbers = [number for number, _ in list(self._steps)]
        gone = len(numbers) - last if len(numbers) > first + last else 0
        return numbers[gone] if numbers else 0

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return (Step.from_bytes(payload) for _, payload in list(self._steps))

    def outlines(self, first: int, last: int) -> list[Outline]:
        """The oldest steps that are still there and the newest, so many of each at most."""
        every = [payload for _, payload in list(self._steps)]
        chosen = every if len(every) <= first + last else every[:first] + every[-last:]
        return [Outline.from_bytes(payload) for payload in chosen]

    def step(self, number: int) -> Step | None:
        """One step with all that was recorded of it; None where it is no longer there."""
        payload = next((p for n, p in list(self._steps) if n == number), None)
        return None if payload is None else Step.from_bytes(payload)
