"""Every activation: φ, its hand-written derivative, formula and source, in one registry."""

from engine.layers.activations.base import ACTIVATIONS, Activation
from engine.layers.activations.gated import GELU, GELUTanh, Hardswish, Mish, SiLU
from engine.layers.activations.identity import Identity
from engine.layers.activations.rectifiers import (
    ELU,
    SELU,
    LeakyReLU,
    ReLU,
    ReLU6,
    Softplus,
    SquaredReLU,
)
from engine.layers.activations.sigmoids import Hardtanh, Sigmoid, Softsign, Tanh

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "SELU", "Activation", "GELUTanh", "Hardswish", "Hardtanh",
    "Identity", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softplus", "Softsign",
    "SquaredReLU", "Tanh",
]  # fmt: skip
