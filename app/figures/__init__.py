"""From results to pictures: forms of charts, cells, sketches and numbers as text. Knows no HTTP."""

from layerscope.app.figures.lab import lab_figures
from layerscope.app.figures.sketch import Sketch, line, sketch
from layerscope.app.figures.strip import Cell, cell
from layerscope.app.figures.text import number

__all__ = ["Cell", "Sketch", "cell", "lab_figures", "line", "number", "sketch"]
