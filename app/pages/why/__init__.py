"""Why a network fails: theory, spectra and number formats around an experiment; one file per page.

A page is a module with a ``VIEW``, a template ``pages/why/<slug>.html`` and one line here; its
computation is in ``layerscope.app.why``, and its JSON is at the same address under ``/api/v1``.
"""

from __future__ import annotations

from layerscope.app.pages.render import Page
from layerscope.app.pages.why import diagnosis, phase, precision, spectrum
from layerscope.app.pages.why.frame import why_router

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    *(
        Page(view.path, view.title, "Why", why_router(view))
        for view in (phase.VIEW, spectrum.VIEW, precision.VIEW)
    ),
    Page("/why/diagnosis", "How well does it diagnose?", "Why", diagnosis.router),
)
