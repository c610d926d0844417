"""The command line: ``layerscope serve``, ``run``, ``runs``, ``diagnose``, ``map``, ``inspect``."""

from __future__ import annotations

import inspect
import secrets
import sys
from functools import partial
from typing import Annotated, Any, Literal

import orjson
import structlog
import typer
from pydantic import SecretStr

from layerscope.app.caching import version
from layerscope.app.commands import checkpoints, maps, runs
from layerscope.app.commands.options import flag, options, pairs
from layerscope.app.commands.output import (
    INTERRUPTED,
    Output,
    fail,
    known_settings,
    printing,
    refuse,
)
from layerscope.app.logs import configure
from layerscope.app.results import complete, planned, unchecked_events
from layerscope.app.settings import Settings
from layerscope.app.terminal import show
from layerscope.engine.basis.cancellation import never
from layerscope.engine.basis.cores import keep_to_cores
from layerscope.engine.basis.refusals import InvalidParameters
from layerscope.engine.execution.cost import OverLimit
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.statistics import machine_code

__all__ = ["application", "main"]

application = typer.Typer(
    name="layerscope",
    help="Shows what happens inside a neural network: forward, backward, and why it goes wrong.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in a parameter's description are brackets
)


@application.callback(invoke_without_command=True)
def _top(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if show_version:
        typer.echo(version())
        raise typer.Exit


@application.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port [8000]; 0 takes a free one.")] = None,
    token: Annotated[
        str | None,
        typer.Option(help="What requests have to know; made and printed beyond this machine."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Web processes [1].")] = None,
    root_path: Annotated[
        str | None, typer.Option(help="Path below which a proxy serves this, as /layerscope.")
    ] = None,
) -> None:
    """Serve the pages and the API. Everything else is set by LAYERSCOPE_… variables."""
    given = {
        "host": host, "port": port, "token": token, "workers": workers, "root_path": root_path
    }  # fmt: skip
    settings = known_settings(**{k: v for k, v in given.items() if v is not None})
    made = settings.token is None and not settings.is_loopback
    if made:
        settings = settings.model_copy(update={"token": SecretStr(secrets.token_urlsafe(16))})
    configure(settings.log_level, settings.log_format)
    from layerscope.app import server  # after the log is set up

    try:
        listener = server.listen(settings)
    except server.CannotListen as error:
        refuse([str(error)], code=1)
    url = server.address(listener)
    structlog.stdlib.get_logger("layerscope").info(
        "starting", version=version(), address=url, data_dir=str(settings.data_dir.resolve())
    )
    if settings.warm_up and (why := _why_it_takes_long()):
        structlog.stdlib.get_logger("layerscope").info(why)
    if made and settings.token is not None:
        typer.echo(
            f"To open it: {url}{settings.root_path}/?token={settings.token.get_secret_value()}\n"
            "(in place of a wildcard address or a container's port, the name and port outside)",
            err=True,
        )
    try:
        started = server.serve(settings, listener)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if not started:
        raise typer.Exit(1)


def _why_it_takes_long() -> str | None:
    """A sentence where the kernels have to be compiled before anything can be answered."""
    state, folder = machine_code()
    if state == "new":
        return (
            "compiling the kernels, which takes about half a minute; the next start finds them in "
            + folder
        )
    if state == "nowhere":
        return (
            "compiling the kernels, which takes about half a minute at every start: no folder to "
            "keep them in can be written; NUMBA_CACHE_DIR names one"
        )
    return None


@application.command("warm-up")
def warm_up() -> None:
    """Compile everything into the cache now, so that the next start is quick."""
    from layerscope.app.preload import run_everything_once

    run_everything_once()


def _run(
    *,
    as_json: bool,
    check: bool,
    fail_on: Literal["warning", "error"] | None,
    **parameters: str | bool | None,
) -> None:
    """Run one experiment and print it as a table."""
    settings = known_settings()
    experiment = _experiment(parameters, settings)
    keep_to_cores(settings.torch_threads)  # bits depend on it, and are to be the server's
    with printing():
        findings = _print(experiment, settings, as_json=as_json, check=check)
    fail(fail_on, findings)


def _print(
    experiment: Experiment, settings: Settings, *, as_json: bool, check: bool
) -> list[dict[str, Any]]:
    """Run it, print what came of it, and return the findings."""
    left_out = planned(experiment, settings, check=check).left_out
    if as_json:
        text = complete(experiment, left_out, never, check=check)
        sys.stdout.buffer.write(text + b"\n")
        sys.stdout.buffer.flush()
        found: list[dict[str, Any]] = orjson.loads(text)["findings"]
        return found
    findings: list[dict[str, Any]] = show(unchecked_events(experiment, left_out, never), Output())[
        "findings"
    ]
    return findings


def _experiment(parameters: dict[str, str | bool | None], settings: Settings) -> Experiment:
    try:
        experiment = Experiment.from_strings(pairs(parameters))
        planned(experiment, settings)
    except InvalidParameters as error:
        refuse(f"{flag(e['field'])}: {e['message']}, got {e['value']!r}" for e in error.errors)
    except OverLimit as error:
        refuse([str(error)])
    return experiment


def _register_run() -> None:
    """An option for each parameter of an experiment: the model validates, so they are texts."""
    keyword = partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY, default=None)
    as_json = typer.Option("--json", help="Print the result as JSON.")
    check = typer.Option("--check", help="In JSON: hold every gradient against autograd's.")
    fail_on = typer.Option(help="Exit with 1 if there is a finding of this severity or above.")
    parameters = list(options(Experiment))
    severity = Annotated[Literal["warning", "error"] | None, fail_on]
    parameters.append(keyword("as_json", annotation=Annotated[bool, as_json], default=False))
    parameters.append(keyword("check", annotation=Annotated[bool, check], default=False))
    parameters.append(keyword("fail_on", annotation=severity))
    # Typer reads signature and annotations; both are made from the model's fields.
    _run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    _run.__annotations__ = {p.name: p.annotation for p in parameters}
    application.command("run")(_run)


_register_run()
application.command("runs")(runs.runs)
application.command("diagnose")(runs.diagnose)
application.command("map")(maps.map_command())
application.command("inspect")(checkpoints.inspect)


def main() -> None:
    """The ``layerscope`` program."""
    application()
