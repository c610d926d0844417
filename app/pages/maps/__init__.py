"""Maps: a plane of experiments, its form, and the picture that fills in."""

from layerscope.app.pages.maps.page import PAGE

__all__ = ["PAGE"]
