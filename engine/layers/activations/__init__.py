"""Every activation: φ, its hand-written derivative, formula and source, in one registry."""

from layerscope.engine.layers.activations import gated, identity, rectifiers, sigmoids
from layerscope.engine.layers.activations.base import ACTIVATIONS, Activation, activation_of

__all__ = [
    "ACTIVATIONS", "Activation", "activation_of", "gated", "identity", "rectifiers", "sigmoids",
]  # fmt: skip
