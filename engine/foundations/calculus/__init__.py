"""Derivatives of every activation and loss, symbolic and by hand, and how they are written."""

from layerscope.engine.foundations.calculus.derivative import GRID, Derivative, derivative_of
from layerscope.engine.foundations.calculus.pieces import Kink
from layerscope.engine.foundations.calculus.subject import TARGET, differentiable

__all__ = ["GRID", "TARGET", "Derivative", "Kink", "derivative_of", "differentiable"]
