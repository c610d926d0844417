"""Maps that teach: the notes' numbers as planes, and two figures of papers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import Axis
from layerscope.engine.maps.plane import Plane
from layerscope.engine.training import Training

__all__ = ["PRESETS", "MapPreset", "preset"]


@dataclass(frozen=True, slots=True)
class MapPreset:
    """A named map with a sentence on what to see; ``full`` is the same with more cells and steps,
    where that takes long."""

    name: str
    title: str
    note: str
    plane: Plane
    full: Plane | None = None


def _schoenholz(columns: int, rows: int, depth: int, width: int, steps: int) -> Plane:
    """Tanh at σb² = 0.05 over σw² from 1 to 4: the init scale of ``lecun_normal`` is σw."""
    return Plane(
        Axis.between("init_scale", 1.0, 2.0, columns, "square"),
        Axis.between("depth", 5, depth, rows),
        Experiment(activation="tanh", init="lecun_normal", bias_std=round(math.sqrt(0.05), 4),
                   data="digits", loss="cross_entropy", width=width),
        "accuracy", training=Training(learning_rate=0.05, steps=steps),
    )  # fmt: skip


def _rates(columns: int, rows: int, width: int, steps: int) -> Plane:
    return Plane(
        Axis.between("learning_rate", 0.001, 10, columns, "log"),
        Axis.between("init_scale", 0.25, 4, rows, "log"),
        Experiment(depth=10, width=width, data="digits", loss="cross_entropy"),
        "accuracy", training=Training(steps=steps),
    )  # fmt: skip


PRESETS: tuple[MapPreset, ...] = (
    MapPreset(
        "init-scale-depth",
        "Init scale × depth",
        "Even a slight variation from 0.1, and fifty linear layers of randn vanish or explode.",
        Plane(
            Axis.between("init_scale", 0.07, 0.14, 15, "log"),
            Axis.between("depth", 5, 75, 15),
            Experiment(activation="linear", init="normal"),
            "last_std",
        ),
    ),
    MapPreset(
        "activation-init",
        "Activation × init",
        "Which scheme suits which activation: what is left of the signal after twenty layers.",
        Plane(Axis.of("init"), Axis.of("activation"), Experiment(depth=20), "last_std"),
    ),
    MapPreset(
        "width-depth",
        "Width × depth",
        "Kaiming weights keep the gradient on average; how far a single network strays from that "
        "grows with depth over width.",
        Plane(
            Axis.between("width", 8, 256, 11, "log"),
            Axis.between("depth", 5, 85, 9),
            Experiment(),
            "gradient_ratio",
            seeds=2,
        ),
    ),
    MapPreset(
        "dtype-init-scale",
        "Number format × init scale",
        "The block at which each format runs out of numbers, as the signal grows.",
        Plane(
            Axis.between("init_scale", 1, 8, 13, "log"),
            Axis.of("dtype"),
            Experiment(activation="linear", init="lecun_normal", width=64, batch=64),
            "first_nonfinite",
        ),
    ),
    MapPreset(
        "trainability",
        "Deep information propagation",
        "Schoenholz et al. 2017 on digits: tanh at σb² = 0.05 trains to about 6 ξc, the line.",
        _schoenholz(9, 6, 55, 48, 50),
        _schoenholz(25, 20, 100, 100, 200),
    ),
    MapPreset(
        "learning-rate",
        "Learning rate × init scale",
        "ReLU on digits: the larger the weights, the smaller the steps that still lead down.",
        _rates(13, 9, 48, 50),
        _rates(33, 25, 100, 300),
    ),
)


def preset(name: str) -> MapPreset:
    """Errors: ``KeyError`` naming every preset."""
    for each in PRESETS:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in PRESETS)
    raise KeyError(f"unknown preset {name!r}; expected one of: {known}")
