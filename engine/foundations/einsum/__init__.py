"""Einstein summation: parsed, explained letter by letter, rewritten, and computed."""

from layerscope.engine.foundations.einsum.examples import EXAMPLES, NOTES_RULES, Example
from layerscope.engine.foundations.einsum.explanation import (
    EinsumExplanation,
    EinsumRun,
    einsum,
    explain,
    run,
)
from layerscope.engine.foundations.einsum.grammar import RULES, EinsumError, EinsumLimitError
from layerscope.engine.foundations.einsum.letters import Axis, Letter, OperandAxes
from layerscope.engine.foundations.einsum.shapes import LIMITS, EinsumLimits
from layerscope.engine.foundations.einsum.sublist import parse, parse_sublist

__all__ = [
    "EXAMPLES", "LIMITS", "NOTES_RULES", "RULES", "Axis", "EinsumError", "EinsumExplanation",
    "EinsumLimitError", "EinsumLimits", "EinsumRun", "Example", "Letter", "OperandAxes", "einsum",
    "explain", "parse", "parse_sublist", "run",
]  # fmt: skip
