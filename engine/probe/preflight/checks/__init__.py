"""Preflight's own checks; importing them fills the registry. Roots come before symptoms."""

from layerscope.engine.probe.preflight.checks import data as data
from layerscope.engine.probe.preflight.checks import failure as failure
from layerscope.engine.probe.preflight.checks import formats as formats
from layerscope.engine.probe.preflight.checks import loss as loss
from layerscope.engine.probe.preflight.checks import modes as modes
from layerscope.engine.probe.preflight.checks import parameters as parameters
from layerscope.engine.probe.preflight.checks.base import CHECKS, Check

__all__ = ["CHECKS", "Check"]
