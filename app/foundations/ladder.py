"""The ladder: seven rungs, their differences and times, their source; the classic mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.forms import Form
from layerscope.app.foundations.step import Step
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.basis.specification import Specification, parameter
from layerscope.engine.basis.text import bytes_text, number_text, time_text
from layerscope.engine.foundations.ladder import GRADIENTS, LIMITS, Ladder, RungResult, ladder

__all__ = ["STEP", "LadderForm", "Row", "View"]


class LadderForm(Specification):
    """A batch, and how wide the notes' network is."""

    batch: int = parameter(200, "Batch", "Samples.", slider=(1, 512), ge=1, le=LIMITS.batch)
    inputs: int = parameter(
        100, "Inputs", "Features of a sample.", slider=(1, 512), ge=1, le=LIMITS.n_in
    )
    hidden: int = parameter(
        50, "Hidden units", "Units between the two linear layers.",
        slider=(1, 512), ge=1, le=LIMITS.n_hidden,
    )  # fmt: skip
    seed: int = parameter(0, "Seed", "Of batch, targets and weights.", ge=0, le=LIMITS.seed)


def _answer(asked: LadderForm, should_stop: ShouldStop) -> Ladder:
    return ladder(asked.batch, asked.inputs, asked.hidden, asked.seed, should_stop=should_stop)


WIDTH = 200.0  # of the longest bar


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
    differences: Sequence[tuple[str, ...]]
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
    return "0" if value == 0 else f"{value:.1e}"


def _view(_: Form[LadderForm], ladder: Ladder) -> View:
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
            (name, *(_difference(run.differences[name]) for run in (rung.float64, rung.float32)))
            for name in GRADIENTS
        ],
    )


STEP = Step(
    name="ladder",
    title="The ladder",
    lead="One network written seven ways, from bare functions to nn.Sequential: the same "
    "gradients.",
    form=LadderForm,
    answer=_answer,
    picture=_view,
    summary="Seven ways to write one network, compared",
    help="The notes' refactorings as rungs, each with its real source, run on the same weights and "
    "the same batch: loss, the largest difference of every gradient against the first rung in "
    "float64 and float32, the median times of forward and backward; and mse without the squeeze, "
    "actually run.",
    example={"batch": 200, "n_in": 100, "n_hidden": 50, "seed": 0, "agree": True},
)
