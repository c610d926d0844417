"""An experiment as a table in a terminal, filling in while it is computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from layerscope.engine.diagnosis.run import (
    Backward,
    Event,
    FixEvent,
    Forward,
    Start,
    Summary,
    TrialEvent,
)

__all__ = ["COLOURS", "ExperimentTable", "show"]

COLOURS = {"error": "bold red", "warning": "yellow", "info": "cyan", "ok": "green"}
SPARE_LINES = 6
"""Lines of a terminal that the growing table leaves to its heading and to the prompt."""


class ExperimentTable:
    """What is known of each layer so far."""

    def __init__(self) -> None:
        self.layers: list[dict[str, Any]] = []
        self.forward: dict[int, dict[str, Any]] = {}
        self.backward: dict[int, dict[str, Any]] = {}
        self.summary: dict[str, Any] = {}
        self.current = 0

    def add(self, event: Event) -> None:
        """Take in what has become known."""
        data = event.to_dict()
        if isinstance(event, Start):
            self.layers = data["layers"]
        elif isinstance(event, Forward | Backward):
            self.current = data["index"]
            known = self.forward if isinstance(event, Forward) else self.backward
            known[self.current] = data
        elif isinstance(event, Summary):
            self.summary = data
        elif isinstance(event, TrialEvent):
            self.summary.update(data)
        elif isinstance(event, FixEvent):
            finding = self.summary["findings"][data["finding"]]
            finding.update(fix=data["fix"], fix_verified=data["fix_verified"])

    def render(self, rows: int | None = None) -> Table:
        """The table, or those ``rows`` of it around the layer that was computed last."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("layer")
        table.add_column("kind")
        for heading in ("std", "mean", "zeros", "NaN", "Inf", "gradient std"):
            table.add_column(heading, justify="right")
        shown = self.layers
        if rows is not None and len(shown) > rows:
            first = min(max(0, self.current - rows // 2), len(shown) - rows)
            shown = shown[first : first + rows]
        for layer in shown:
            table.add_row(*self._cells(layer))
        return table

    def _cells(self, layer: dict[str, Any]) -> list[str]:
        cells = [layer["name"], layer["kind"]]
        known = self.forward.get(layer["index"])
        if known is not None:
            s = known["activation"]
            share = 100 * s["zeros"] / s["count"] if s["count"] else 0.0
            cells += [_figure(s["std"]), _figure(s["mean"]), f"{share:.1f} %"]
            cells += [_count(s["nan"]), _count(s["posinf"] + s["neginf"])]
        back = self.backward.get(layer["index"])
        if back is not None:
            cells.append(_figure(back["gradient"] and back["gradient"]["std"]))
        return cells


def show(events: Iterable[Event], console: Console) -> dict[str, Any]:
    """Print the table of ``events`` and the verdict; on a terminal, while they come.

    Returns:
        The summary: loss, findings, verdict.
    """
    table = ExperimentTable()
    if console.is_terminal:
        rows = max(1, console.height - SPARE_LINES)
        with Live(console=console, transient=True, refresh_per_second=20, screen=False) as live:
            for event in events:
                table.add(event)
                live.update(table.render(rows))
    else:
        for event in events:
            table.add(event)
    console.print(table.render())
    console.print()
    console.print(f"loss {table.summary['loss_text']}")
    verdict = table.summary["verdict"]
    for finding in table.summary["findings"]:
        if finding["title"] != verdict["title"]:
            _line(console, finding["severity"], f"{finding['rule']}: {finding['title']}")
    _line(console, verdict["severity"], verdict["title"])
    if verdict["text"]:
        console.print(escape(verdict["text"]))
    for finding in table.summary["findings"]:
        if finding["fix_verified"]:
            options = " ".join(_option(*change) for change in finding["fix"].items())
            _line(console, "fix", f"{options} (tried: {finding['rule']} is gone)")
    if table.summary["findings"] and table.summary["unfixed"]:
        console.print(escape(table.summary["unfixed"]))
    return table.summary


def _line(console: Console, severity: str, text: str) -> None:
    colour = COLOURS.get(severity, "bold")
    console.print(f"[{colour}]{severity:>7}[/]  {escape(text)}", highlight=False)


def _option(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _count(value: int) -> str:
    return f"[bold red]{value}[/]" if value else "0"
