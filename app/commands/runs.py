"""``layerscope runs`` and ``layerscope diagnose``: what a store holds, in a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from layerscope.app.commands.output import (
    Output,
    Severe,
    fail,
    known_settings,
    printing,
    refuse,
    shown,
    wide,
)  # fmt: skip
from layerscope.app.figures.text import age, loss_text
from layerscope.app.terminal import COLOURS
from layerscope.engine.basis.text import listed
from layerscope.engine.probe.ranks import Ranks, runs_beside
from layerscope.engine.store import Run, Store, StoreError, open_store

__all__ = ["diagnose", "runs"]

Where = Annotated[
    str | None,
    typer.Option("--store", help="A file or an SQLAlchemy URL; by default the server's store."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


def runs(
    store: Where = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most runs to list.")] = 20,
    before: Annotated[
        str | None, typer.Option(help="Runs older than those: what `next` said in JSON.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs that were recorded, newest first."""
    opened = _opened(store)
    try:
        found, following = opened.runs(limit, before)
    except (StoreError, ValueError) as error:
        refuse([f"{error}."])
    with printing():
        if as_json:
            _print_json({"runs": [run.to_dict() for run in found], "next": following})
            return
        console = wide()
        if not found:
            console.print(f"There is no run in {shown(opened.where)}.", highlight=False)
            return
        console.print(_table(found))
        if following:
            console.print(f"More: --before {shown(following)}", highlight=False)


def diagnose(
    run: Annotated[str, typer.Argument(help="A run's id, its beginning, or its name.")],
    store: Where = None,
    fail_on: Annotated[
        Severe | None,
        typer.Option(help="Exit with 1 if there is a finding of this severity or above."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what was found wrong in a run, the most severe first; of one of several ranks, also
    whether they have come apart."""
    opened = _opened(store)
    try:
        chosen = _chosen(opened, run)
        beside = runs_beside(chosen, opened)
        apart, held = _apart(beside, opened)
        findings = apart + opened.findings(chosen.id)
    except StoreError as error:
        refuse([f"{error}."])
    with printing():
        if as_json:
            ranks = {"ranks": [each.id for each in beside]} if beside else {}
            _print_json({"run": chosen.to_dict(), **ranks, "findings": findings})
        else:
            _show(chosen, findings, held, wide())
    fail(fail_on, findings)


def _apart(ranks: list[Run], store: Store) -> tuple[list[dict[str, Any]], str]:
    """What is found of all ranks together, an error if anything, and what was held against what."""
    if not ranks:
        return [], ""
    ids = ", ".join(each.id for each in ranks)
    try:
        together = Ranks.stored([each.id for each in ranks], store)
    except ValueError as error:
        return [], f"The ranks' runs {ids} can't be held against each other: {error}."
    steps, found = len(together.numbers), together.findings()
    same = "" if found else ": their parameters are the same, bit for bit"
    said = f"Held against each other: the ranks' runs {ids}, in {steps:,} steps{same}."
    return [each.to_dict() for each in found], said


def _opened(to: str | None) -> Store:
    settings = known_settings()
    try:
        return Store(settings.store_url) if to is None else open_store(to)
    except ValueError as error:
        refuse([f"--store: {str(error).removeprefix('to: ')}"])


def _chosen(store: Store, words: str) -> Run:
    found = store.find(words)
    if not found:
        refuse([f"RUN: there is no run {words} in {store.where}; `layerscope runs` lists them."])
    several = len(found) > 1 and found[0].id != words and found[0].id.startswith(words)
    if several:
        names = ", ".join(run.id for run in found)
        refuse([f"RUN: {words} is the beginning of several: {names}"])
    return found[0]


def _table(found: list[Run]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("id", "name", "state"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for heading in ("steps", "loss", "age"):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    now = time.time()
    for run in found:
        table.add_row(
            run.id, shown(run.name), run.state, f"{run.steps:,}", loss_text(run.last_loss),
            age(now - run.created), _verdict(run.verdict),
        )  # fmt: skip
    return table


def _verdict(verdict: Mapping[str, str] | None) -> str:
    if verdict is None:
        return "–"
    severity = verdict["severity"]
    return f"[{COLOURS.get(severity, 'bold')}]{shown(severity)}[/]  {shown(verdict['title'])}"


def _show(run: Run, findings: list[dict[str, Any]], held: str, console: Output) -> None:
    console.print(
        f"{run.id}  {shown(run.name)}: {run.state}, {run.steps:,} steps, "
        f"loss {loss_text(run.last_loss)}",
        highlight=False,
    )
    if held:
        console.print(shown(held), highlight=False)
    if not findings:
        console.print(f"[{COLOURS['ok']}]     ok[/]  nothing was found", highlight=False)
    for finding in findings:
        severity = str(finding.get("severity", "info"))
        title = finding.get("title") or finding.get("explanation", "")
        console.print(
            f"[{COLOURS.get(severity, 'bold')}]{shown(severity):>7}[/]  "
            f"{shown(str(finding.get('rule', '')))}: {shown(str(title))}",
            highlight=False,
        )
        for line in _details(finding, str(title)):
            console.print(f"         {line}", highlight=False)


def _details(finding: Mapping[str, Any], title: str) -> list[str]:
    lines = []
    if modules := finding.get("modules"):
        lines.append(f"in {listed([shown(str(name)) for name in modules], 5)}")
    if (since := finding.get("since")) is not None:
        lines.append(f"since step {shown(str(since))}")
    if (explanation := finding.get("explanation")) and explanation != title:
        lines.append(shown(str(explanation)))
    if fix := finding.get("fix"):
        tried = " (tried)" if finding.get("fix_verified") else ""
        text = fix if isinstance(fix, str) else orjson.dumps(fix).decode()
        lines.append(f"fix{tried}:")
        lines += [f"  {shown(line)}" for line in text.splitlines()]
    return lines


def _print_json(value: Mapping[str, Any]) -> None:
    typer.echo(orjson.dumps(value, default=str).decode())
