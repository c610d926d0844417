"""The HTML routes: a page is a file with a ``PAGE``, a template and one line here."""

from __future__ import annotations

from layerscope.app.pages import docs, foundations, lab, maps, runs, why
from layerscope.app.pages.render import Page

__all__ = ["pages"]


def pages() -> list[Page]:
    """Every page, in the header's order; those of analyses as they are registered now."""
    analysed = why.pages()
    return [lab.PAGE, *foundations.PAGES, *analysed, *runs.PAGES, maps.PAGE, docs.PAGE]
