"""What is done to tensors: written out, indexed, broadcast, combined elementwise, reduced."""

from layerscope.engine.foundations.tensors.broadcasting import Broadcast, Operand, broadcast
from layerscope.engine.foundations.tensors.display import TensorDisplay, display_tensor
from layerscope.engine.foundations.tensors.elementwise import OPERATORS, Elementwise, elementwise
from layerscope.engine.foundations.tensors.indexing import Index, parse_index
from layerscope.engine.foundations.tensors.literals import parse_shape, parse_tensor
from layerscope.engine.foundations.tensors.reductions import REDUCTIONS, ReductionResult, reduce
from layerscope.engine.foundations.tensors.scanner import LiteralError

__all__ = [
    "OPERATORS", "REDUCTIONS", "Broadcast", "Elementwise", "Index", "LiteralError", "Operand",
    "ReductionResult", "TensorDisplay", "broadcast", "display_tensor", "elementwise", "parse_index",
    "parse_shape", "parse_tensor", "reduce",
]  # fmt: skip
