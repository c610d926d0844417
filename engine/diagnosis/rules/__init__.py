"""The rules, registered where they are defined; ``explains`` says which come from which."""

from layerscope.engine.diagnosis.rules import collapse, nonfinite, numbers, scale, symmetry, units

__all__ = ["collapse", "nonfinite", "numbers", "scale", "symmetry", "units"]
