"""Every layer as a row of figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layerscope.app.figures import number
from layerscope.app.pages.lab.drawing import norm
from layerscope.engine.execution.network import LayerInfo
from layerscope.engine.execution.records import Record

__all__ = ["TableRow", "table"]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One layer of the table."""

    index: int
    block: int
    name: str
    figures: tuple[str, ...]


def table(layers: Sequence[LayerInfo], records: Sequence[Record]) -> list[TableRow]:
    """The rows in forward order, once every record is there."""
    return [_row(info, record) for info, record in zip(layers, records, strict=True)]


def _row(info: LayerInfo, record: Record) -> TableRow:
    s, g = record.activation, record.gradient
    weight = record.parameters.get("weight")
    figures = (
        number(s.mean),
        number(s.std),
        str(s.zeros),
        str(s.nan),
        str(s.posinf + s.neginf),
        number(g.std if g else None),
        number(norm(weight.gradient)) if weight else "",
    )
    return TableRow(info.index, info.block, info.name, figures)
