"""From results to pictures: forms of charts, cells, sketches and numbers as text. Knows no HTTP."""

from layerscope.app.figures.bars import Bars, bars
from layerscope.app.figures.lab import lab_figures
from layerscope.app.figures.sketch import Sketch, line, sketch
from layerscope.app.figures.strip import Cell, cell, cell_css, cell_words, lost_words
from layerscope.app.figures.text import number, whole

__all__ = [
    "Bars",
    "Cell",
    "Sketch",
    "bars",
    "cell",
    "cell_css",
    "cell_words",
    "lab_figures",
    "line",
    "lost_words",
    "number",
    "sketch",
    "whole",
]
