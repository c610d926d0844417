"""The same experiment under another eye: links from the Lab to the pages that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from layerscope.app.pages.render import NAVIGATION
from layerscope.engine.experiment.specification import Experiment

__all__ = ["Elsewhere", "PageLink", "elsewhere"]

PAGES = (
    ("/why/phase", "Why?", "The phase diagram: where this setting lies, where the signal holds"),
    ("/why/spectrum", "Spectrum", "Singular values of the whole network's Jacobian"),
    ("/why/precision", "Precision", "What each number format would lose of this network"),
)
RULES = "/why/diagnosis"


@dataclass(frozen=True, slots=True)
class PageLink:
    """A link to another page about the same experiment."""

    label: str
    title: str
    href: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where else there is something about an experiment.

    ``rules`` is where the rules of the diagnosis are explained; empty without such a page.
    """

    links: Sequence[PageLink]
    rules: str


def elsewhere(experiment: Experiment | None) -> Elsewhere:
    """The pages that are registered, for this very experiment."""
    registered = {page.path for page in NAVIGATION}
    query = urlencode(experiment.to_query()) if experiment else ""
    links = [
        PageLink(label, title, f"{path}?{query}" if query else path)
        for path, label, title in PAGES
        if path in registered
    ]
    return Elsewhere(links, RULES if RULES in registered else "")
