"""What a module is to its network, whoever wrote it."""

from __future__ import annotations

from typing import Literal

__all__ = ["Role"]

Role = Literal["linear_map", "activation", "norm", "sum"]
"""What rules, theory and pictures go by: no name of a class or of a registry entry says it."""
