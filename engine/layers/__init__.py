"""Layers, each with its forward pass and its hand-written backward pass side by side."""

from layerscope.engine.layers.activations import ACTIVATIONS, Activation
from layerscope.engine.layers.base import Layer
from layerscope.engine.layers.linear import Linear
from layerscope.engine.layers.normalization import NORMS, Normalization
from layerscope.engine.layers.residual import Add

__all__ = ["ACTIVATIONS", "NORMS", "Activation", "Add", "Layer", "Linear", "Normalization"]
