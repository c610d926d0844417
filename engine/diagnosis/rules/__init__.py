"""The rules, registered where they are defined; ``explains`` says which come from which."""

from layerscope.engine.diagnosis.rules import (
    bias,
    collapse,
    nonfinite,
    numbers,
    parameters,
    scale,
    steps,
    symmetry,
    units,
)

__all__ = [
    "bias", "collapse", "nonfinite", "numbers", "parameters", "scale", "steps", "symmetry",
    "units",
]  # fmt: skip
