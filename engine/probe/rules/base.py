"""What a rule over a training is, and the registry that holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from layerscope.engine.basis.registry import Registry
from layerscope.engine.diagnosis import Finding
from layerscope.engine.probe.history import History

__all__ = ["TRAINING_RULES", "TrainingRule", "training_rule"]


@dataclass(frozen=True, slots=True)
class TrainingRule:
    """One way in which a training goes wrong; ``explains`` are rules, of this kind or of one pass,
    whose findings are consequences where this one finds one."""

    find: Callable[[History], Finding | None]
    _: KW_ONLY
    formula: str
    source: str
    help: str
    explains: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.find.__name__


TRAINING_RULES: Registry[TrainingRule] = Registry("training rule")
training_rule = TRAINING_RULES.decorator(TrainingRule)
"""Registers the decorated function as the rule of its own name; causes before consequences."""
