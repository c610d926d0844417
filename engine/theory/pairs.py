"""Two inputs through a network of any of its kinds: the correlation of their pre-activations.

The recursion of `layerscope.engine.theory.forward`, for one pair instead of a batch: with C the map
of φ at the length that it sees (a norm's, where there is one),

    c ← C(c),   z = σw²E[φφ̃] + σb²       plain (Poole et al. 2016)
    q ← q + E[φ²] + 2E[x]E[φ],  qc ← qc + E[φφ̃] + 2E[x]E[φ]    the stream x of residual blocks

(Yang & Schoenholz 2017, §3; given x every unit of z has one law, hence the products of means).
A norm over features keeps the angle: its scale is one number for each sample, and the mean over
units that layer norm takes off is of order 1/√n.
"""

from __future__ import annotations

from collections.abc import Sequence

from layerscope.engine.theory.forward import forward
from layerscope.engine.theory.state import LOG_ZERO, MeanFieldNetwork

__all__ = ["NoCorrelation", "correlations_through"]


class NoCorrelation(ValueError):
    """Pre-activations that are all zero, or samples that a norm ties together."""


def correlations_through(
    net: MeanFieldNetwork, starts: Sequence[float]
) -> list[tuple[float, ...]]:  # fmt: skip
    """Correlation of two inputs of one length at every hidden layer, for each of the inputs' own.

    Errors: `NoCorrelation`.

    Example:
        >>> from layerscope.engine.theory.network import network
        >>> sizes = dict(depth=3, width=100, inputs=100, outputs=1, batch=2)
        >>> net = network("relu", **sizes, variance=lambda n_in, _: 2 / n_in)
        >>> [round(c, 3) for c in correlations_through(net, [0.0])[0]]
        [0.0, 0.318, 0.494]
    """
    if net.norm is not None and net.norm.over == "batch":
        raise NoCorrelation("a norm over the batch ties all inputs together")
    found = []
    for start in starts:
        pair = net._replace(
            input_correlation=start, input_norm_variance=0.0, input_wobble=0.0, input_centred=None
        )
        hidden = [trace.pre for trace in forward(pair)[:-1]]
        if any(z.log_second < LOG_ZERO / 2 for z in hidden):
            raise NoCorrelation("all pre-activations are zero")
        found.append(tuple(z.cross for z in hidden))
    return found
