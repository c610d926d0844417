"""The Lab: the page, and the parts of it that follow when a control changes."""

from layerscope.app.pages.lab import parts
from layerscope.app.pages.lab.page import PAGE

__all__ = ["PAGE"]

PAGE.router.include_router(parts.router)
