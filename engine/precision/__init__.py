"""What a number format would lose of a tensor, from its histogram over powers of two alone.

``engine.precision.lens`` runs whole networks; it is a module of its own, so that whoever reads
histograms does not need the network.
"""

from engine.precision.fit import Fit, fit
from engine.precision.formats import FORMATS, Format
from engine.precision.scale import TOLERATED, LossScale, loss_scale

__all__ = ["FORMATS", "TOLERATED", "Fit", "Format", "LossScale", "fit", "loss_scale"]
