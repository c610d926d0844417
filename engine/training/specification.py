"""How a network is trained: with its experiment, a specification that determines every step."""

from __future__ import annotations

from collections.abc import Mapping

from layerscope.engine.basis.refusals import FieldError
from layerscope.engine.basis.registry import Described
from layerscope.engine.basis.specification import Options, Specification, parameter
from layerscope.engine.execution.optimizers import OPTIMIZERS
from layerscope.engine.execution.schedules import SCHEDULES

__all__ = ["Training"]

RECORDS: Options = {
    "everything": {"formula": "", "source": "",
                   "help": "Outputs, their gradients, parameters, their gradients and updates."},
    "signals": {"formula": "", "source": "", "help": "Outputs and the gradients by them."},
    "parameters": {"formula": "", "source": "", "help": "Parameters, gradients and updates."},
}  # fmt: skip


def _described(entries: Mapping[str, Described]) -> Options:
    return {n: {"formula": e.formula, "source": e.source, "help": e.help}
            for n, e in entries.items()}  # fmt: skip


class Training(Specification):
    """An optimiser, its settings, and what is recorded on the way.

    >>> Training(optimizer="adam", learning_rate=0.001).to_query()
    {'optimizer': 'adam', 'learning_rate': '0.001'}
    """

    optimizer: str = parameter(
        "sgd", "Optimiser", "What makes a step of a gradient.",
        options=lambda: _described(OPTIMIZERS),
    )  # fmt: skip
    learning_rate: float = parameter(0.1, "Learning rate", "How far a step goes.", ge=0, le=1e9)
    steps: int = parameter(200, "Steps", "Optimiser steps.", unit="steps", ge=1, le=100_000)
    schedule: str = parameter(
        "constant", "Schedule", "How the learning rate goes.",
        options=lambda: _described(SCHEDULES),
    )  # fmt: skip
    warm_up: int = parameter(
        0, "Warm-up", "First steps over which the learning rate rises to itself.",
        unit="steps", ge=0, le=100_000,
    )  # fmt: skip
    momentum: float = parameter(
        0.9, "Momentum", "Of the optimisers that have one: μ.", ge=0, le=0.9999
    )
    weight_decay: float = parameter(0.0, "Weight decay", "λ, as the optimiser has it.", ge=0, le=10)
    fresh: bool = parameter(
        False, "Fresh batches",
        "A new batch from the data every step; else the experiment's own, again and again.",
    )  # fmt: skip
    loss_scale: float = parameter(
        1.0, "Loss scale",
        "Multiplies the loss before the backward pass; gradients are divided by it before the "
        "optimiser has them. Powers of two change no bit of what does not underflow.",
        ge=2.0**-24, le=2.0**32,
    )  # fmt: skip
    dynamic: bool = parameter(
        False, "Dynamic loss scale",
        "Halves the scale and leaves the step out where a gradient overflows; doubles it after "
        "200 steps without.",
    )  # fmt: skip
    every: int = parameter(
        1, "Record every", "So many steps; the loss is kept of those.", unit="steps", ge=1, le=1000
    )
    record: str = parameter(
        "everything", "Record", "Which tensors' figures are kept.", options=lambda: RECORDS
    )

    def _go_together(self) -> None:
        if self.warm_up > self.steps:
            raise FieldError("warm_up", f"expected at most the {self.steps} steps of the training")
