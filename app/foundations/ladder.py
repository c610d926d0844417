"""The ladder's question: a batch, and how wide the notes' network is."""

from __future__ import annotations

from layerscope.app.foundations.query import Field, Question, whole
from layerscope.engine.basis.cancellation import ShouldStop
from layerscope.engine.foundations.ladder import LIMITS, Ladder, ladder

__all__ = ["LADDER"]


def _answer(batch: int, inputs: int, hidden: int, seed: int, should_stop: ShouldStop) -> Ladder:
    return ladder(batch, inputs, hidden, seed, should_stop=should_stop)


LADDER = Question(
    name="ladder",
    summary="Seven ways to write one network, compared",
    help="The notes' refactorings as rungs, each with its real source, run on the same weights and "
    "the same batch: loss, the largest difference of every gradient against the first rung in "
    "float64 and float32, the median times of forward and backward; and mse without the squeeze, "
    "actually run.",
    fields=(
        Field(
            "batch", "Batch", "200", whole(1, LIMITS.batch), "Samples.", slider=(1, 512, 1),
        ),
        Field(
            "inputs", "Inputs", "100", whole(1, LIMITS.n_in), "Features of a sample.",
            slider=(1, 512, 1),
        ),
        Field(
            "hidden", "Hidden units", "50", whole(1, LIMITS.n_hidden),
            "Units between the two linear layers.", slider=(1, 512, 1),
        ),
        Field("seed", "Seed", "0", whole(0, LIMITS.seed), "Of batch, targets and weights."),
    ),
    answer=_answer,
    stoppable=True,
    example={"batch": 200, "n_in": 100, "n_hidden": 50, "seed": 0, "agree": True},
)  # fmt: skip
