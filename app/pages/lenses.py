"""The same experiment under another eye: links from the Lab to the pages that exist."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from layerscope.app.pages.render import NAVIGATION
from layerscope.engine.experiment.specification import Experiment

__all__ = ["LensLink", "lenses", "rules_page"]

LENSES = (
    ("/why/phase", "Why?", "The phase diagram: where this setting lies, where the signal holds"),
    ("/why/spectrum", "Spectrum", "Singular values of the whole network's Jacobian"),
    ("/why/precision", "Precision", "What each number format would lose of this network"),
)
RULES = "/why/diagnosis"


@dataclass(frozen=True, slots=True)
class LensLink:
    """A link to another page about the same experiment."""

    label: str
    title: str
    href: str


def lenses(experiment: Experiment | None) -> list[LensLink]:
    """The pages that are registered, for this very experiment."""
    query = urlencode(experiment.to_query()) if experiment else ""
    return [
        LensLink(label, title, f"{path}?{query}" if query else path)
        for path, label, title in LENSES
        if path in _registered()
    ]


def rules_page() -> str:
    """Where the rules of the diagnosis are explained; empty without such a page."""
    return RULES if RULES in _registered() else ""


def _registered() -> set[str]:
    return {page.path for page in NAVIGATION}
