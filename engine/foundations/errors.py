"""What this package refuses: shapes that do not fit, and more than may be asked for."""

from __future__ import annotations

__all__ = ["LimitError", "ShapeError"]


class ShapeError(ValueError):
    """Shapes that do not fit together; the message names both and what was expected."""


class LimitError(ValueError):
    """Something larger than allowed, refused before it is allocated.

    Attributes:
        limit: what is limited, for example ``"cells of the result"``.
        allowed: the largest value permitted.
        asked: the value asked for.
    """

    def __init__(self, limit: str, allowed: int, asked: int) -> None:
        self.limit = limit
        self.allowed = allowed
        self.asked = asked
        super().__init__(f"{limit}: {asked} asked for, at most {allowed} allowed")
