"""The notes' experiments, in the notes' order: a story to click down."""

from __future__ import annotations

import math
from dataclasses import dataclass

from layerscope.engine.experiment.specification import Experiment

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A named experiment with a sentence on what to see."""

    name: str
    title: str
    note: str
    experiment: Experiment


PRESETS: tuple[Preset, ...] = (
    Preset(
        "randn",
        "randn × 1: NaN",
        "Each layer multiplies the std by √100 = 10, until float32 has no larger number.",
        Experiment(activation="linear", init="normal"),
    ),
    Preset(
        "randn-0.01",
        "randn × 0.01: zeros",
        "Each layer divides the std by 10, until float32 has no smaller number.",
        Experiment(activation="linear", init="normal", init_scale=0.01),
    ),
    Preset(
        "randn-0.1",
        "randn × 0.1: holds",
        "1/√100: the std stays about 1 through 50 linear layers.",
        Experiment(activation="linear", init="normal", init_scale=0.1),
    ),
    Preset(
        "relu-0.1",
        "× 0.1 + ReLU: vanishes",
        "ReLU drops half of the signal at every layer: about 1e-8 is left after 50.",
        Experiment(init="normal", init_scale=0.1),
    ),
    Preset(
        "kaiming",
        "Kaiming + ReLU: holds",
        "√(2/n_in) makes up for the half that ReLU drops.",
        Experiment(),
    ),
    Preset(
        "randn-layer",
        "randn 100 → 50: std 10",
        "The notes' first layer with plain randn: a sum of 100 products has variance 100, std 10.",
        Experiment(depth=1, width=50, inputs=100, activation="linear", init="normal"),
    ),
    Preset(
        "notes-model",
        "Notes' 100-50-1 model",
        "linear, ReLU, linear with Kaiming weights: the hidden layer has mean 0.57, std 0.83.",
        Experiment(depth=1, width=50, inputs=100),
    ),
    Preset(
        "zeros",
        "Zeros: symmetric",
        "All units alike, and alike they stay: the gradient cannot tell them apart.",
        Experiment(init="zeros", depth=10),
    ),
    Preset(
        "edge-of-chaos",
        "Tanh at the edge of chaos",
        "σw² = 1.761, σb² = 0.05: neither ordered nor chaotic, so depth is reachable.",
        Experiment(
            activation="tanh",
            init="lecun_normal",
            init_scale=round(math.sqrt(1.761), 4),
            bias_std=round(math.sqrt(0.05), 4),
        ),
    ),
    Preset(
        "digits",
        "Real digits, Kaiming",
        "8×8 images of digits through 20 layers to ten classes.",
        Experiment(data="digits", loss="cross_entropy", depth=20),
    ),
    Preset(
        "float16",
        "float16 overflow",
        "The signal doubles at every layer; float16 ends at 65504.",
        Experiment(activation="linear", init="lecun_normal", init_scale=2.0, dtype="float16"),
    ),
)
