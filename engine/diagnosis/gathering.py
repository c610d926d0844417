"""Evidence from an experiment: run, recorded, held against float32 where its format is narrow."""

from __future__ import annotations

from layerscope.engine.analyses.float32_comparison import gradient_cosines
from layerscope.engine.basis.cancellation import ShouldStop, never
from layerscope.engine.diagnosis.evidence import Evidence
from layerscope.engine.diagnosis.first_steps import take_steps
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.recording import Loss, record_all
from layerscope.engine.execution.records import Record
from layerscope.engine.experiment.specification import Experiment

__all__ = ["complete", "gather"]


def gather(experiment: Experiment, should_stop: ShouldStop = never) -> Evidence:
    """``experiment`` run and recorded, for the rules to look at."""
    network = Network(experiment)
    return complete(network, *record_all(network, should_stop), should_stop)


def complete(
    network: Network, records: list[Record], loss: Loss, should_stop: ShouldStop = never
) -> Evidence:
    """What a network recorded, with what only its specification tells."""
    cosines = gradient_cosines(network.experiment, should_stop=should_stop) or {}
    for index, cosine in cosines.items():
        records[index].gradient_cosine = cosine
    baseline = network.loss.baseline(network.target)
    evidence = Evidence(
        records, loss.value, baseline, network.loss.degree, loss.cause, starts=network.starts
    )
    take_steps(network.experiment, evidence, should_stop)
    return evidence
