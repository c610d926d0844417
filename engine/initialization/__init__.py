"""Init schemes: how weights are drawn, with formula, source and assumptions, in one registry."""

from layerscope.engine.initialization import gaussian, structured, uniform
from layerscope.engine.initialization.base import INITS, InitScheme

__all__ = ["INITS", "InitScheme", "gaussian", "structured", "uniform"]
