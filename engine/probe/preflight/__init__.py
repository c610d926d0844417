"""Before any training: what one forward and one backward pass tell of a model, and which changes
to it were run and learn faster."""

from layerscope.engine.probe.preflight.flight import preflight
from layerscope.engine.probe.preflight.report import Report

__all__ = ["Report", "preflight"]
