"""SymPy, loaded when it is first asked for something: that takes most of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["sympy"]

if TYPE_CHECKING:
    import sympy
else:

    class _WhenAsked:
        def __getattr__(self, name: str) -> Any:
            import sympy

            return getattr(sympy, name)

    sympy = _WhenAsked()
