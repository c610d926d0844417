"""The ladder's page: seven rungs, their differences and times, their source; the mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.foundations import Reading
from layerscope.app.foundations.ladder import LADDER
from layerscope.app.pages.foundations.step import Step, step_router
from layerscope.engine.basis.text import bytes_text, number_text, time_text
from layerscope.engine.foundations.ladder import GRADIENTS, Ladder, RungResult

__all__ = ["STEP"]

WIDTH = 200.0  # of the longest bar
ZERO = "0"


@dataclass(frozen=True, slots=True)
class Row:
    """One rung of the table."""

    rung: RungResult
    forward: float
    """Length of its bar."""
    backward: float
    total: str
    loss: str
    float64: str
    float32: str
    differences: Sequence[tuple[str, str, str]]
    """By gradient: its name, the difference in float64, in float32."""


@dataclass(frozen=True, slots=True)
class View:
    """What the template draws."""

    rows: Sequence[Row]
    largest: str
    wrong_loss: str
    right_loss: str
    wrong_bytes: str
    ratio: str
    target_mean: str
    corner: Sequence[Sequence[tuple[str, int]]]
    """Squares as text, and how dark they are, 0 to 8."""
    hidden: bool
    """The table is larger than what is shown of it."""


def _difference(value: float) -> str:
    return ZERO if value == 0 else f"{value:.1e}"


def _view(_: Reading, ladder: Ladder) -> View:
    longest = max(r.forward_seconds + r.backward_seconds for r in ladder.rungs)
    mistake = ladder.mistake
    top = max(max(row) for row in mistake.corner) or 1.0
    return View(
        rows=[_row(rung, longest) for rung in ladder.rungs],
        largest=_difference(max(r.float64.largest for r in ladder.rungs)),
        wrong_loss=f"{mistake.wrong_loss:.5g}",
        right_loss=f"{mistake.right_loss:.5g}",
        wrong_bytes=bytes_text(mistake.wrong_bytes),
        ratio=number_text(mistake.gradient_ratio) if mistake.gradient_ratio is not None else "–",
        target_mean=f"{mistake.target_mean:.3g}",
        corner=[[(f"{v:.3g}", round(8 * (v / top) ** 0.5)) for v in row] for row in mistake.corner],
        hidden=ladder.batch > len(mistake.corner),
    )


def _row(rung: RungResult, longest: float) -> Row:
    return Row(
        rung=rung,
        forward=round(WIDTH * rung.forward_seconds / longest, 1),
        backward=round(WIDTH * rung.backward_seconds / longest, 1),
        total=time_text(rung.forward_seconds + rung.backward_seconds),
        loss=f"{rung.float64.loss:.12g}",
        float64=_difference(rung.float64.largest),
        float32=_difference(rung.float32.largest),
        differences=[
            (
                name,
                _difference(rung.float64.differences[name]),
                _difference(rung.float32.differences[name]),
            )
            for name in GRADIENTS
        ],
    )


STEP = Step(
    "ladder",
    "The ladder",
    "One network written seven ways, from bare functions to nn.Sequential: the same gradients.",
    step_router("ladder", LADDER, _view),
)
