"""Init schemes: how weights are drawn, with formula, source and assumptions, in one registry."""

from engine.initialization import gaussian, structured, uniform
from engine.initialization.base import INITS, InitScheme

__all__ = ["INITS", "InitScheme", "gaussian", "structured", "uniform"]
