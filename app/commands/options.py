"""Options made of specifications: one for each parameter, whose model validates what is typed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated

import typer

from layerscope.engine.basis.specification import Specification

__all__ = ["flag", "options", "pairs"]


def flag(field: str) -> str:
    """The option of a parameter.

    >>> flag("init_scale")
    '--init-scale'
    """
    return "--" + field.replace("_", "-")


def options(model: type[Specification], leave_out: tuple[str, ...] = ()) -> Iterator[
    inspect.Parameter
]:  # fmt: skip
    """A keyword-only parameter with a Typer option for each field, as text, or a switch."""
    keyword = partial(inspect.Parameter, kind=inspect.Parameter.KEYWORD_ONLY, default=None)
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        switch = field.annotation is bool
        words = model.expectation(name)
        expected = "" if switch else f" {words[0].upper()}{words[1:]}."
        default = "absent" if field.default in (None, "") else str(field.default).lower()
        option = typer.Option(
            f"{flag(name)}/--no-{flag(name)[2:]}" if switch else flag(name),
            help=f"{field.description}{expected} [{default}]",
            metavar=None if switch else "VALUE",
            show_default=False,
        )
        kind = bool | None if switch else str | None
        yield keyword(name, annotation=Annotated[kind, option])


def pairs(parameters: Mapping[str, str | bool | None]) -> list[tuple[str, str]]:
    """Those that were given, as a query has them.

    >>> pairs({"depth": "3", "residual": True, "width": None})
    [('depth', '3'), ('residual', 'true')]
    """
    return [
        (name, str(value).lower() if isinstance(value, bool) else value)
        for name, value in parameters.items()
        if value is not None
    ]
