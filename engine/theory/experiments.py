"""What theory predicts for an experiment: its parameters handed to ``layerscope.engine.theory``."""

from __future__ import annotations

from functools import lru_cache

from layerscope.engine.data import CLASSES, DATASETS, all_digits
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.initialization import INITS
from layerscope.engine.layers.normalization import EPSILON
from layerscope.engine.losses import LOSSES
from layerscope.engine.theory import Prediction, predict

__all__ = ["predicted"]


@lru_cache(maxsize=1)
def _digits_moments() -> tuple[float, float, float]:
    """Of the standardised digits: mean x²; relative variance of a sample's; correlation of two."""
    x = all_digits()[0].double()  # (1797, 64)
    lengths = x.square().mean(1)
    second = float(lengths.mean())
    n = len(x)
    total = x.sum(0).square().sum() - x.square().sum()  # Σ over pairs of different samples of x·x'
    return second, float(lengths.var()) / second**2, float(total) / (n * (n - 1) * 64 * second)


@lru_cache(maxsize=256)
def predicted(experiment: Experiment) -> Prediction:
    """The prediction for ``experiment``, or why there is none; the same every time.

    >>> predicted(Experiment()).phase
    'critical'
    """
    e = experiment
    scheme = INITS[e.init]
    real = DATASETS[e.data].features is not None
    second, spread, correlation = _digits_moments() if real else (1.0, None, 0.0)
    target = 1.0
    if real and not LOSSES[e.loss].classifies:
        target = 1 / CLASSES  # mean square of a one-hot row
    return predict(
        e.activation,
        depth=e.depth,
        width=e.width,
        inputs=e.n_inputs,
        outputs=e.n_outputs,
        batch=e.batch,
        variance=scheme.variance if scheme.mean_field else lambda n_in, n_out: None,
        init_scale=e.init_scale,
        bias_std=e.bias_std,
        norm=e.norm,
        residual=e.residual,
        input_second_moment=second,
        input_norm_variance=spread,
        input_correlation=correlation,
        dtype=e.dtype,
        loss=e.loss,
        target_second_moment=target,
        gaussian_weights=scheme.gaussian,
        orthogonal=scheme.orthogonal,
        norm_eps=EPSILON,
    )
