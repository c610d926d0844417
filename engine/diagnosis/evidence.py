"""What the rules look at: a network's records, in the order in which the signal passes."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import takewhile
from typing import Any

from layerscope.engine.basis.line import line_through
from layerscope.engine.basis.text import number_text, scientific, without_exponents
from layerscope.engine.diagnosis.finding import Direction, Finding, Severity
from layerscope.engine.execution.provenance import Cause
from layerscope.engine.execution.records import Record
from layerscope.engine.statistics import Figures, Statistics

__all__ = ["Evidence", "Trend", "power_of_ten"]

MOST_NATS = 700.0  # e to this power, and to its negative, is a float with all its digits


def power_of_ten(decades: float, digits: int) -> str:
    """10 to this power, in so many digits; float64's range squared, as a ratio can be, and beyond.

    >>> power_of_ten(2.5, 2), power_of_ten(420.25, 2)
    ('320', '1.8×10⁴²⁰')
    """
    if abs(decades) < 300:
        return number_text(10.0**decades, digits)
    return scientific(f"{Decimal(10) ** Decimal(decades):.{digits}g}")


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through ln(figure) by block.

    ``slope`` is in nats per block with its standard error, ``span`` the fitted change from the
    first to the last block in powers of ten, ``blocks`` the first and last block that entered.
    """

    slope: float
    error: float
    span: float
    blocks: tuple[int, int]

    @property
    def factor(self) -> float | None:
        """By what the figure is multiplied from one block to the next, if a float can hold it."""
        return math.exp(self.slope) if abs(self.slope) < MOST_NATS else None

    def per_block(self, sign: int = 1) -> str:
        """``factor`` in words, or its inverse where ``sign`` is −1; however large it is."""
        return power_of_ten(sign * self.slope / math.log(10), 3)


@dataclass(frozen=True)
class Evidence:
    """A network's records, complete or as far as they have come, and its loss.

    A block begins at a linear map and ends before the next, unless ``starts`` says otherwise; they
    count from 1. Where nothing follows the last linear map it is the network's output, and no
    hidden block.
    """

    records: Sequence[Record]
    loss: float | None = None
    baseline: float | None = None
    """The loss of the best constant output."""
    loss_degree: int = 2
    """The power of a large output with which the loss grows."""
    loss_cause: Cause | None = None
    """Why the loss is not finite where the output is."""
    untrained: bool = True
    """Whether no step of a training has been made."""
    starts: Collection[int] | None = None
    """Indices of the records with which blocks begin, where whoever built the network says so; all
    blocks have a linear map then, and a record's place is its index."""
    entered: Figures | None = None
    """Of what went into the first of the records, where that is known."""
    by_name: bool = False
    """Whether layers are spoken of by the names of their modules, which somebody has given them,
    rather than by the number of their block."""

    @cached_property
    def blocks(self) -> list[list[Record]]:
        """Hidden blocks and output; what precedes the first linear map belongs to its block."""
        found: list[list[Record]] = []
        linear_maps = 0
        for record in self.records:
            linear_maps += record.facts.role == "linear_map"
            if self.starts is not None:
                begins = record.facts.index in self.starts
            else:
                begins = len(found) < max(1, linear_maps)
            if begins:
                found.append([])
            found[-1].append(record)
        return found

    @cached_property
    def hidden_blocks(self) -> list[list[Record]]:
        """All blocks but the output."""
        ends_linear = self.blocks and self.blocks[-1][-1].facts.role == "linear_map"
        return self.blocks[:-1] if ends_linear else self.blocks

    @property
    def depth(self) -> int:
        """Number of hidden blocks."""
        return len(self.hidden_blocks)

    @property
    def batch(self) -> int:
        """Number of samples that went in."""
        return self.records[0].facts.shape[0] if self.records else 0

    @cached_property
    def block_outputs(self) -> list[Record]:
        """The last record of each hidden block: what it hands on."""
        return [block[-1] for block in self.hidden_blocks]

    @cached_property
    def unit_outputs(self) -> list[Record]:
        """The record of each hidden block whose units can fall silent: the last one or, in a block
        that is known to end in its linear map, the activation before that."""
        return [self._silenced(block) for block in self.hidden_blocks]

    def _silenced(self, block: Sequence[Record]) -> Record:
        if self.starts is None:
            return block[-1]
        before = takewhile(lambda r: r.facts.role != "linear_map", block)
        return next((r for r in before if r.facts.role == "activation"), block[-1])

    @cached_property
    def hidden_linear_maps(self) -> list[Record]:
        """The linear maps of the hidden blocks."""
        return [r for block in self.hidden_blocks for r in block if r.facts.role == "linear_map"]

    @cached_property
    def _numbers(self) -> dict[int, int]:
        return {r.facts.index: i for i, block in enumerate(self.blocks, 1) for r in block}

    def block(self, record: Record) -> int:
        """The number of the block that ``record`` belongs to."""
        return self._numbers[record.facts.index]

    def label(self, record: Record) -> str:
        """What the layer of a record is called in words: ``12``, or ``encoder.fc1``."""
        own = record.facts.name if self.by_name else ""
        return own or str(self.block(record))

    @cached_property
    def forward_trend(self) -> Trend | None:
        """How the rms of what the blocks hand on changes with depth."""
        return _trend([(self.block(r), r.activation) for r in self.block_outputs])

    @cached_property
    def backward_trend(self) -> Trend | None:
        """How the gradient's rms changes with depth, in forward order of the blocks."""
        return _trend([(self.block(r), r.gradient) for r in self.block_outputs if r.gradient])

    def finding(
        self,
        rule: str,
        severity: Severity,
        where: Sequence[Record],
        *,
        title: str,
        explanation: str,
        direction: Direction,
        evidence: dict[str, Any],
        threshold: dict[str, Any],
    ) -> Finding:
        """A finding about the records ``where``, which are in forward order."""
        first, last = where[0], where[-1]
        return Finding(
            rule=rule,
            severity=severity,
            title=without_exponents(title),
            explanation=without_exponents(explanation),
            direction=direction,
            modules=tuple(r.facts.name for r in where),
            layers=(first.facts.index, last.facts.index),
            blocks=(self.block(first), self.block(last)),
            evidence=evidence,
            threshold=threshold,
        )


def _trend(figures: Sequence[tuple[int, Statistics]]) -> Trend | None:
    """Least squares through ln rms of the tensors that are finite and not all zero."""
    points = [(block, math.log(s.rms)) for block, s in figures if s.rms and s.finite == s.count]
    if len(points) < 2:
        return None
    blocks, logarithms = zip(*points, strict=True)
    line = line_through(blocks, logarithms)
    span = line.slope * (blocks[-1] - blocks[0]) / math.log(10)
    return Trend(line.slope, line.slope_error, span, (blocks[0], blocks[-1]))
