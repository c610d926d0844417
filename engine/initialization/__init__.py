"""Init schemes: how weights are drawn, with formula, source and assumptions, in one registry."""

from layerscope.engine.initialization import gaussian, structured, uniform
from layerscope.engine.initialization.base import INITS, InitScheme
from layerscope.engine.initialization.distribution import Atom, Distribution

__all__ = ["INITS", "Atom", "Distribution", "InitScheme", "gaussian", "structured", "uniform"]
