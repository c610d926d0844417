"""Where a NaN, an infinity or a tensor of zeros came from: the operation that made it, with its
operands. Any function of tensors will do; nothing is known of layers."""

from layerscope.engine.execution.provenance.cause import (
    AILMENTS,
    Ailment,
    Cause,
    Given,
    ailments,
    causes,
)
from layerscope.engine.execution.provenance.origin import Operand, Origin
from layerscope.engine.execution.provenance.trace import origin, vanishing
from layerscope.engine.execution.provenance.words import in_words

__all__ = [
    "AILMENTS", "Ailment", "Cause", "Given", "Operand", "Origin", "ailments", "causes",
    "in_words", "origin", "vanishing",
]  # fmt: skip
