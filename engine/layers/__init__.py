"""Layers, each with its forward pass and its hand-written backward pass side by side."""

from engine.layers.activations import ACTIVATIONS, Activation
from engine.layers.base import Layer
from engine.layers.linear import Linear
from engine.layers.normalization import NORMS, Normalization
from engine.layers.residual import Add

__all__ = ["ACTIVATIONS", "NORMS", "Activation", "Add", "Layer", "Linear", "Normalization"]
