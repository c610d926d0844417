"""Init schemes: how weights are drawn, with formula, source and assumptions, in one registry."""

from layerscope.engine.layers.initialization import gaussian, structured, uniform
from layerscope.engine.layers.initialization.base import INITS, FixedWeight, InitScheme
from layerscope.engine.layers.initialization.distribution import Atom, Distribution

__all__ = [
    "INITS", "Atom", "Distribution", "FixedWeight", "InitScheme", "gaussian", "structured",
    "uniform",
]  # fmt: skip
