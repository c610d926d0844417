"""The rules, registered where they are defined; imported here in order from cause to symptom."""

from engine.diagnosis.rules import nonfinite, units  # noqa: I001  roots before symptoms
from engine.diagnosis.rules import scale

__all__ = ["nonfinite", "scale", "units"]
