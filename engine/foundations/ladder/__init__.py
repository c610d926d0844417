"""The ladder of the notes' refactorings: seven ways to write one network, which all agree."""

from layerscope.engine.foundations.ladder.base import (
    GRADIENTS,
    Attempt,
    Problem,
    Rung,
    Source,
    problem,
)
from layerscope.engine.foundations.ladder.climb import (
    LIMITS,
    RUNGS,
    Agreement,
    Ladder,
    LadderLimits,
    RungResult,
    climb,
    ladder,
)
from layerscope.engine.foundations.ladder.mistake import Mistake, mistake, mse_without_squeeze

__all__ = [
    "GRADIENTS", "LIMITS", "RUNGS", "Agreement", "Attempt", "Ladder", "LadderLimits", "Mistake",
    "Problem", "Rung", "RungResult", "Source", "climb", "ladder", "mistake", "mse_without_squeeze",
    "problem",
]  # fmt: skip
