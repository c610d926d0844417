"""Why a network fails: every analysis as a page, and the diagnosis' own record. With drawings of
its own it has a module with a ``VIEW``, a template of its name and one line in `VIEWS`."""

from __future__ import annotations

from layerscope.app.pages.render import Page
from layerscope.app.pages.why import diagnosis, phase, precision, spectrum
from layerscope.app.pages.why.figures import figures_view
from layerscope.app.pages.why.frame import why_router
from layerscope.engine.analyses import ANALYSES

__all__ = ["VIEWS", "pages"]

VIEWS = (phase.VIEW, spectrum.VIEW, precision.VIEW)


def pages() -> list[Page]:
    """A page for every analysis that is registered now, those with drawings first."""
    drawn = {view.name for view in VIEWS}
    plain = [figures_view(each) for name, each in ANALYSES.items() if name not in drawn]
    return [
        *(Page(f"/why/{v.name}", v.title, "Why", why_router(v), True) for v in (*VIEWS, *plain)),
        Page("/why/diagnosis", "How well does it diagnose?", "Why", diagnosis.router),
    ]
