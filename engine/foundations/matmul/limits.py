"""What a race or a scaling run may ask for, checked before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.engine.basis.cores import available_cores
from layerscope.engine.basis.text import bytes_text
from layerscope.engine.foundations.errors import LimitError
from layerscope.engine.foundations.matmul.base import MATMULS, MatmulVariant

__all__ = ["LIMITS", "MatmulLimits", "chosen_variants"]


@dataclass(frozen=True)
class MatmulLimits:
    """Bounds on one product."""

    side: int = 4096
    """Largest m, k or n: one cell of the slowest variant then takes hundredths of a second."""
    flops: int = 2**34
    """Largest 2·m·k·n, two matrices of 2048 × 2048: BLAS then answers within a fraction of a
    second, in which it cannot be stopped."""
    extra_bytes: int = 256 * 2**20
    """Memory beside operands and result above which a variant is skipped."""
    seconds: float = 30.0
    """Largest time limit for one variant."""
    sizes: int = 16
    """Most points on the axis of a scaling run."""

    def check(self, m: int, k: int, n: int, seed: int, time_limit: float, threads: int) -> None:
        """Raise `LimitError` or ``ValueError`` naming the value and what was expected."""
        for name, size in (("m", m), ("k", k), ("n", n)):
            if size < 1:
                raise ValueError(f"{name} is {size}; expected at least 1, or nothing is multiplied")
            if size > self.side:
                raise LimitError(f"size {name} of the matrices", self.side, size)
        if 2 * m * k * n > self.flops:
            raise LimitError("floating-point operations 2·m·k·n", self.flops, 2 * m * k * n)
        if not 0 <= seed < 2**63:
            raise ValueError(f"seed is {seed}; expected 0 to 2⁶³ − 1")
        cores = available_cores()
        if not 1 <= threads <= cores:
            raise ValueError(f"threads is {threads}; expected 1 to {cores}, this machine's cores")
        if not (math.isfinite(time_limit) and 0 < time_limit <= self.seconds):
            raise ValueError(
                f"time_limit is {time_limit}; expected more than 0 s and at most {self.seconds:g} s"
            )

    def skipped(self, variant: MatmulVariant, m: int, k: int, n: int) -> str:
        """Why ``variant`` cannot run at this size; empty when it can."""
        asked = variant.extra_bytes(m, k, n)
        if asked <= self.extra_bytes:
            return ""
        return (
            f"skipped: would need {bytes_text(asked)} beside operands and result, "
            f"at most {bytes_text(self.extra_bytes)} allowed"
        )


LIMITS = MatmulLimits()


def chosen_variants(names: Sequence[str] | None) -> list[MatmulVariant]:
    """The variants of these names, each once, in the registry's order; all for None.

    Errors:
        ``ValueError`` for an empty choice, an unknown name or a repeated one.
    """
    if names is None:
        return list(MATMULS.values())
    if not names:
        raise ValueError("no variant chosen; expected one or more of: " + ", ".join(MATMULS))
    for position, name in enumerate(names):
        if name not in MATMULS:
            known = ", ".join(MATMULS)
            raise ValueError(f"unknown matmul variant {name!r}; expected one of: {known}")
        if name in names[:position]:
            raise ValueError(f"matmul variant {name!r} is chosen twice; expected each once")
    return [variant for name, variant in MATMULS.items() if name in names]
