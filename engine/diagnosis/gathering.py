"""Evidence from an experiment: run, recorded, held against float32 where its format is narrow."""

from __future__ import annotations

from layerscope.engine.analyses.float32_comparison import gradient_cosines
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.recording import Recording, record_all
from layerscope.engine.experiment.specification import Experiment

__all__ = ["complete", "gather"]


def gather(experiment: Experiment, should_stop: ShouldStop = never) -> Evidence:
    """``experiment`` run and recorded, for the rules to look at.

    Errors: ``Stopped`` before the next layer once ``should_stop()`` is true.
    """
    network = Network(experiment)
    return complete(network, record_all(network, should_stop), should_stop)


def complete(network: Network, recording: Recording, should_stop: ShouldStop = never) -> Evidence:
    """What a network recorded, with what only its specification tells.

    Errors: as `gather`.
    """
    cosines = gradient_cosines(network.experiment, should_stop=should_stop) or {}
    for index, cosine in cosines.items():
        recording.records[index].gradient_cosine = cosine
    baseline = network.loss.baseline(network.target)
    return Evidence(recording.records, recording.loss, baseline)
