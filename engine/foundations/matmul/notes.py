"""The notes' own times, to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from layerscope.engine.basis.text import number_text
from layerscope.engine.foundations.record import Record

__all__ = ["NOTES_SHAPE", "NOTES_TABLE", "NotesTime"]

NOTES_SHAPE = (5, 784, 10)
"""m, k, n of the notes' product: five images of 28 × 28 pixels by ten columns of weights."""


@dataclass(frozen=True)
class NotesTime(Record):
    """One ``%timeit`` of the notes: mean and standard deviation of 7 runs, 20 loops each."""

    variant: str
    """The registry name of the same computation here."""
    seconds: float
    spread_seconds: float
    caching: bool = False
    """The notes' timer warned that an intermediate result may have been cached."""

    def to_dict(self) -> dict[str, Any]:
        speedup = NOTES_TABLE[0].seconds / self.seconds
        return {
            **super().to_dict(),
            "speedup": speedup,
            "speedup_text": f"{number_text(speedup)} ×",
        }


NOTES_TABLE = (
    NotesTime("loops", 325e-3, 801e-6),
    NotesTime("elementwise", 488e-6, 159e-6),
    NotesTime("broadcast_row", 414e-6, 18e-6),
    NotesTime("einsum", 26.9e-6, 37.3e-6, caching=True),
    NotesTime("matmul", 6.42e-6, 8.4e-6, caching=True),
)
"""(5×784) @ (784×10), in the order of the notes."""
