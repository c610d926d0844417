"""Trainings that teach: what goes wrong in them, and each with its repair."""

from __future__ import annotations

from dataclasses import dataclass

from layerscope.engine.experiment import Experiment
from layerscope.engine.training.specification import Training

__all__ = ["TRAINING_PRESETS", "TrainingPreset"]


@dataclass(frozen=True, slots=True)
class TrainingPreset:
    """A training with what it shows."""

    name: str
    title: str
    note: str
    experiment: Experiment
    training: Training


def _digits(**changes: object) -> Experiment:
    base = {"depth": 3, "width": 64, "batch": 128, "data": "digits", "loss": "cross_entropy"}
    return Experiment.model_validate({**base, **changes})


def _fresh(**changes: object) -> Training:
    return Training.model_validate({"fresh": True, "steps": 120, "learning_rate": 0.1, **changes})


HALF = {"depth": 8, "width": 32, "init_scale": 0.2, "dtype": "float16"}

TRAINING_PRESETS: tuple[TrainingPreset, ...] = (
    TrainingPreset(
        "healthy", "It learns", "Three ReLU layers on the digits, plain gradient descent: the loss "
        "falls from 3.2 to 0.15.", _digits(), _fresh(),
    ),
    TrainingPreset(
        "rate_high", "Learning rate too high", "The same with η = 5: not a number within a few "
        "steps. Which layer first?", _digits(), _fresh(learning_rate=5.0),
    ),
    TrainingPreset(
        "dying_relu", "Dying ReLU", "η = 2: one step too far, every unit of a layer is silent for "
        "every digit, and no gradient comes back to wake it.", _digits(), _fresh(learning_rate=2.0),
    ),
    TrainingPreset(
        "leaky", "… repaired", "η = 1 and a leaky ReLU: a silent unit still passes a hundredth of "
        "the gradient.", _digits(activation="leaky_relu"), _fresh(learning_rate=1.0),
    ),
    TrainingPreset(
        "saturated", "Saturated sigmoid", "Weights three times too large for plain randn already: "
        "sigmoids sit at 0 and 1, where they are flat.",
        _digits(depth=4, activation="sigmoid", init="normal", init_scale=3.0), _fresh(),
    ),
    TrainingPreset(
        "xavier", "… repaired", "tanh with Xavier's weights: the signal stays where the slope is.",
        _digits(depth=4, activation="tanh", init="xavier_normal"), _fresh(),
    ),
    TrainingPreset(
        "deep", "Too deep, too small", "Twenty layers with six tenths of Kaiming's scale: the "
        "gradient is gone before it reaches the first.",
        _digits(depth=20, init_scale=0.6), _fresh(),
    ),
    TrainingPreset(
        "batch_norm", "… batch norm's rescue", "The same with batch norm: the scale divides out.",
        _digits(depth=20, init_scale=0.6, norm="batch"), _fresh(),
    ),
    TrainingPreset(
        "half", "float16, no loss scale", "Gradients of the first layers are below float16's "
        "smallest number, and lost.", _digits(**HALF),
        _fresh(optimizer="adam", learning_rate=0.003),
    ),
    TrainingPreset(
        "half_scaled", "… with loss scaling", "The loss times 2¹⁵: the same gradients, held.",
        _digits(**HALF),
        _fresh(optimizer="adam", learning_rate=0.003, loss_scale=2.0**15, dynamic=True),
    ),
)  # fmt: skip
