"""What theory predicts for an experiment: its parameters handed to ``layerscope.engine.theory``."""

from __future__ import annotations

from functools import lru_cache

from layerscope.engine.experiment.data import DATASETS
from layerscope.engine.experiment.specification import Experiment
from layerscope.engine.layers.initialization import INITS
from layerscope.engine.theory import Prediction, predict

__all__ = ["predict_experiment"]


@lru_cache(maxsize=256)
def predict_experiment(experiment: Experiment) -> Prediction:
    """The prediction for ``experiment``, or why there is none; the same every time.

    >>> predict_experiment(Experiment()).phase
    'critical'
    """
    e = experiment
    scheme = INITS[e.init]
    moments = DATASETS[e.data].moments(e.n_inputs)
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
        bias_variance=e.bias_variance,
        norm=e.norm,
        residual=e.residual,
        input_second_moment=moments.mean_square,
        input_norm_variance=moments.length_variance,
        input_correlation=moments.correlation,
        dtype=e.dtype,
        loss=e.loss,
        target_second_moment=moments.target_mean_square,
        gaussian_weights=scheme.gaussian,
        orthogonal=scheme.orthogonal,
    )
