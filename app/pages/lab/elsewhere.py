"""The same experiment under another eye: links from the Lab to the analyses' own pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request

from layerscope.app.pages.render import address
from layerscope.app.pages.why import VIEWS
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Elsewhere", "PageLink", "elsewhere"]


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link to another page about the same experiment."""

    label: str
    title: str
    href: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where else there is something about an experiment; ``rules`` explains the diagnosis'."""

    links: Sequence[PageLink]
    rules: str


def elsewhere(request: Request, experiment: Experiment | None) -> Elsewhere:
    """The pages that look at this very experiment."""
    query = urlencode(experiment.to_query()) if experiment else ""
    links = [
        PageLink(*view.link, address(request, view.route, query)) for view in VIEWS if view.link
    ]
    return Elsewhere(links, address(request, "why_diagnosis"))
