"""``layerscope map``: a plane of experiments, as a table or CSV, with a bar while it comes."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from layerscope.app.commands.options import options, pairs
from layerscope.app.commands.output import known_settings, printing, refuse, shown, wide
from layerscope.app.figures.text import number
from layerscope.app.settings import Settings
from layerscope.engine.basis.refusals import InvalidParameters, field_error
from layerscope.engine.basis.specification import Specification, text_of
from layerscope.engine.execution.cost import Limits, OverLimit
from layerscope.engine.experiment import Experiment
from layerscope.engine.maps.axes import RECORDING, Axis, number_of, value_of
from layerscope.engine.maps.computing import fill
from layerscope.engine.maps.execution import Crew, MapFailed
from layerscope.engine.maps.grid import Grid
from layerscope.engine.maps.kept import Maps
from layerscope.engine.maps.limits import MapLimits
from layerscope.engine.maps.outcomes import OUTCOMES
from layerscope.engine.maps.plane import Plane
from layerscope.engine.maps.presets import PRESETS, preset
from layerscope.engine.maps.table import lines
from layerscope.engine.store.errors import StoreError
from layerscope.engine.training import Training

__all__ = ["map_command", "typed_axis"]

AXIS = "PARAMETER=FROM:TO[:STEPS[:SCALE]], PARAMETER=VALUE,VALUE,… or PARAMETER for all options"


def _map(
    *,
    x: str | None,
    y: str | None,
    outcome: str | None,
    seeds: int | None,
    preset_name: str | None,
    full: bool,
    as_csv: bool,
    jobs: int | None,
    dask: str | None,
    **parameters: str | bool | None,
) -> None:
    """Compute a map: two parameters as axes, an outcome, everything else from one experiment."""
    settings = known_settings()
    plane = _plane(x, y, outcome, seeds, preset_name, parameters, full=full)
    limits = MapLimits(10**6, float("inf"), Limits(flops=10**15, bytes=settings.max_bytes))
    with printing():
        try:
            grid = _computed(plane, limits, settings, jobs, dask)
        except InvalidParameters as error:
            refuse(_told(error))
        except (OverLimit, MapFailed, StoreError) as error:
            refuse([f"{error}."])
        if as_csv:
            for line in lines(grid):
                sys.stdout.write(line)
        else:
            wide().print(_table(grid))


def _plane(
    x: str | None, y: str | None, outcome: str | None, seeds: int | None, name: str | None,
    parameters: dict[str, str | bool | None], *, full: bool,
) -> Plane:  # fmt: skip
    try:
        if name is not None:
            found = preset(name)
            given = (found.full if full and found.full else found.plane).to_json()
        else:
            given = {}
        for axis, typed in (("x", x), ("y", y)):
            if typed is not None:
                given[axis] = typed_axis(typed, f"--{axis}").to_json()
            elif axis not in given:
                missing = field_error(f"--{axis}", f"expected {AXIS}")
                raise InvalidParameters([missing])
        if outcome is not None:
            given["outcome"] = outcome
        if seeds is not None:
            given["seeds"] = seeds
        for part, model in (("base", Experiment), ("training", Training)):
            before = given.get(part) or {}
            typed_ones = [p for p in pairs(parameters) if p[0] in model.model_fields]
            changed = _changed(model, typed_ones)
            given[part] = {**model.from_json(before).to_dict(), **changed}
        return Plane.from_json(given)
    except KeyError as error:
        refuse([f"--preset: {error.args[0]}"])
    except InvalidParameters as error:
        refuse(_told(error))


def _changed(model: type[Specification], typed: list[tuple[str, str]]) -> dict[str, Any]:
    whole = model.from_strings(typed).to_dict()
    return {name: whole[name] for name, _ in typed}


def _told(error: InvalidParameters) -> list[str]:
    return [
        f"{e['field']}: {e['message']}" + ("" if e["value"] is None else f", got {e['value']!r}")
        for e in error.errors
    ]


def typed_axis(text: str, name: str) -> Axis:
    """The axis that ``text`` stands for.

    Errors: ``InvalidParameters``, its fields as ``--x``'s.

    >>> typed_axis("init_scale=0.5:2:3:log", "--x").values
    (0.5, 1.0, 2.0)
    >>> typed_axis("residual=true", "--x").values, typed_axis("dtype", "--x").values[:2]
    ((True,), ('float32', 'float64'))
    """
    parameter, given, rest = text.partition("=")
    body: dict[str, Any] = {"parameter": parameter}
    parts = rest.split(":")
    try:
        if given and len(parts) > 1:
            body |= {"from": number_of(parts[0]), "to": number_of(parts[1])}
            if len(parts) > 2:
                body["steps"] = number_of(parts[2])
            if len(parts) > 3:
                body["scale"] = parts[3]
        elif given:
            body["values"] = [value_of(parameter, part) for part in rest.split(",")]
        return Axis.from_json(body)
    except InvalidParameters as error:
        raise InvalidParameters(
            [{**e, "field": f"{name} {e['field']}".strip()} for e in error.errors]
        ) from None


def _computed(
    plane: Plane, limits: MapLimits, settings: Settings, jobs: int | None, dask: str | None
) -> Grid:
    """Every cell, with a bar on the terminal while that lasts."""
    limits.count(plane)
    samples = list(plane.samples())
    limits.check(samples)
    grid, kept = Grid(plane), Maps(settings.data_dir)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    title = f"{plane.outcome}: {plane.y.parameter} × {plane.x.parameter}"
    crew = Crew(jobs=jobs or settings.map_jobs, dask=dask or settings.dask or None)
    with (
        contextlib.closing(kept),
        crew,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(title, total=plane.total)
        for done in fill(grid, samples, crew, kept):
            bar.update(task, completed=done)
    return grid


def _table(grid: Grid) -> Table:
    plane = grid.plane
    corner = f"{plane.y.parameter} \\ {plane.x.parameter}"
    table = Table(box=None, header_style="bold", pad_edge=False, title=plane.chosen.title)
    table.add_column(corner)
    for value in plane.x.values:
        table.add_column(shown(text_of(value)), justify="right", no_wrap=True)
    for row, value in enumerate(plane.y.values):
        cells = [grid.cell(row, column) for column in range(len(plane.x))]
        texts = [
            "" if c is None else c.text if c.number is None else number(c.number) for c in cells
        ]  # fmt: skip
        table.add_row(shown(text_of(value)), *texts)
    return table


def map_command() -> Callable[..., None]:
    """The command, with an option for each parameter of an experiment and of a training."""
    axis = Annotated[str | None, typer.Option(help=f"Axis: {AXIS}.", metavar="AXIS")]
    outcomes = f"One of: {', '.join(OUTCOMES)} [last_std]."
    presets = f"A map that teaches: {', '.join(p.name for p in PRESETS)}."
    own: dict[str, Any] = {
        "x": (axis, None),
        "y": (axis, None),
        "outcome": (Annotated[str | None, typer.Option(help=outcomes)], None),
        "seeds": (Annotated[int | None, typer.Option(help="Experiments for each cell [1].")], None),
        "preset_name": (Annotated[str | None, typer.Option("--preset", help=presets)], None),
        "full": (Annotated[bool, typer.Option("--full", help="The preset's large form.")], False),
        "as_csv": (Annotated[bool, typer.Option("--csv", help="Print it as CSV.")], False),
        "jobs": (Annotated[int | None, typer.Option(help="Processes at once [all cores].")], None),
        "dask": (
            Annotated[str | None, typer.Option(help="A Dask scheduler that gets the work.")], None
        ),
    }  # fmt: skip
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, default=default, annotation=kind)
        for name, (kind, default) in own.items()
    ]
    parameters += options(Experiment)
    parameters += options(Training, RECORDING)
    # Typer reads signature and annotations.
    _map.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    _map.__annotations__ = {p.name: p.annotation for p in parameters}
    return _map
