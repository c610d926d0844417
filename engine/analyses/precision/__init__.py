"""What a number format would lose of a tensor, from its histogram over powers of two alone.

``…precision.lens`` runs whole networks; it is a module of its own, so that whoever reads
histograms does not need the network.
"""

from layerscope.engine.analyses.precision.fit import Fit, fit
from layerscope.engine.analyses.precision.formats import FORMATS, Format
from layerscope.engine.analyses.precision.loss_scale import TOLERATED, LossScale, loss_scale

__all__ = ["FORMATS", "TOLERATED", "Fit", "Format", "LossScale", "fit", "loss_scale"]
