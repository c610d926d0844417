"""Layers, each with its forward pass and its hand-written backward pass side by side."""

from layerscope.engine.layers.activations import ACTIVATIONS, Activation, activation_of
from layerscope.engine.layers.base import Layer
from layerscope.engine.layers.linear import Linear
from layerscope.engine.layers.normalization import NORMS, Normalization, chosen_norm
from layerscope.engine.layers.residual import Add

__all__ = [
    "ACTIVATIONS", "NORMS", "Activation", "Add", "Layer", "Linear", "Normalization",
    "activation_of", "chosen_norm", "layer_classes",
]  # fmt: skip


def layer_classes() -> dict[str, type[Layer]]:
    """Every kind of layer that a network may have, by name.

    >>> layer_classes()["linear"].role
    'linear_map'
    """
    layers: list[type[Layer]] = [Linear, Add, *NORMS.values()]
    layers += [activation for activation in ACTIVATIONS.values() if activation.adds_layer]
    return {layer.name: layer for layer in layers}
