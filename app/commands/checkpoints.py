"""``layerscope inspect``: every tensor of a checkpoint, as a table, JSON or a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from layerscope.app.commands.output import Output, known_settings, printing, refuse, shown, wide
from layerscope.app.figures.checkpoint import checkpoint_page
from layerscope.app.figures.text import number
from layerscope.engine.basis.text import bytes_text
from layerscope.engine.store.checkpoints import (
    Checkpoint,
    CheckpointError,
    TensorReport,
    inspect_tensor,
    open_checkpoint,
    totals,
)  # fmt: skip
from layerscope.engine.store.checkpoints.inspection import NARROW

__all__ = ["inspect"]

SHORT = dict(zip(NARROW, ("fp16", "bf16", "e5m2", "e4m3"), strict=True))


def inspect(
    file: Annotated[
        Path,
        typer.Argument(help="A safetensors file, its *.index.json, an .npz, or of torch.save."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with a picture, which needs no server.")
    ] = None,
) -> None:
    """Look at every tensor of a checkpoint; nothing in the file is run."""
    known_settings()
    with printing():
        try:
            checkpoint = open_checkpoint(file)
            reports = list(_inspected(checkpoint))
        except CheckpointError as error:
            refuse([f"{error}."])
        whole = totals(reports)
        if html is not None:
            _write(html, checkpoint_page(file.name, reports, whole))
        if as_json:
            _print_json(file, reports, whole)
        else:
            _show(reports, whole, wide())


def _inspected(checkpoint: Checkpoint) -> Iterator[TensorReport]:
    """Each in turn, with a bar on the terminal while that lasts."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=checkpoint.nbytes)
        for stored in checkpoint.tensors:
            bar.update(task, description=shown(stored.name[-40:]))
            yield inspect_tensor(stored)
            bar.advance(task, stored.nbytes)


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        refuse([f"--html: {path}: {error.strerror}."])


def _print_json(file: Path, reports: list[TensorReport], whole: dict[str, Any]) -> None:
    value = {"file": str(file), "tensors": [r.to_dict() for r in reports], "totals": whole}
    typer.echo(orjson.dumps(value).decode())


def _show(reports: list[TensorReport], whole: dict[str, Any], console: Output) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("tensor", overflow="fold")
    table.add_column("dtype", overflow="fold")
    table.add_column("shape", overflow="fold")
    for heading in ("mean", "std", "min", "max", "zeros", *SHORT.values()):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("", overflow="fold")
    for report in reports:
        table.add_row(*_cells(report))
    console.print(table)
    console.print(
        f"\n{whole['tensors']} tensors, {whole['entries']:,} entries, {bytes_text(whole['bytes'])}",
        highlight=False,
    )
    console.print(
        "fp16, bf16, e5m2, e4m3: share of the nonzero entries that would overflow or become zero "
        "there; ~ for another that would be subnormal",
        highlight=False,
    )


def _cells(report: TensorReport) -> list[str]:
    shape = "×".join(map(str, report.shape)) or "–"
    cells = [shown(report.name), report.dtype, shape]
    s = report.statistics
    if s is None:
        return [*cells, *[""] * (5 + len(SHORT)), f"not read: {shown(str(report.unread))}"]
    share = "–" if not s.count else f"{100 * s.zeros / s.count:.1f} %"
    cells += [number(s.mean), number(s.std), number(s.min), number(s.max), share]
    cells += [_lost(report, name) for name in SHORT]
    words = "; ".join(report.concerns)
    return [*cells, f"[bold red]{words}[/]" if s.nan + s.posinf + s.neginf else words]


def _lost(report: TensorReport, name: str) -> str:
    fit = report.fits.get(name)
    if fit is None or not fit.counted:
        return "–"
    text = _percent(fit.lost / fit.counted) if fit.lost else "0"
    if fit.overflow:
        return f"[bold red]{text}[/]"
    return f"{text} ~{_percent(fit.subnormal / fit.counted)}" if fit.subnormal else text


def _percent(share: float) -> str:
    return "<0.1%" if share < 0.001 else f"{100 * share:.1f}%"
