"""Every activation: φ, its hand-written derivative, formula and source, in one registry."""

from layerscope.engine.layers.activations.base import ACTIVATIONS, Activation, activation_of
from layerscope.engine.layers.activations.gated import GELU, GELUTanh, Hardswish, Mish, SiLU
from layerscope.engine.layers.activations.identity import Identity
from layerscope.engine.layers.activations.rectifiers import (
    ELU,
    SELU,
    LeakyReLU,
    ReLU,
    ReLU6,
    Softplus,
    SquaredReLU,
)
from layerscope.engine.layers.activations.sigmoids import Hardtanh, Sigmoid, Softsign, Tanh

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "SELU", "Activation", "GELUTanh", "Hardswish", "Hardtanh",
    "Identity", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softplus", "Softsign",
    "SquaredReLU", "Tanh", "activation_of",
]  # fmt: skip
