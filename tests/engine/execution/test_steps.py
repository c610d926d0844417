"""Training on a part of the batch keeps that part and no more."""

from __future__ import annotations

from layerscope.engine.diagnosis.learning import Learning
from layerscope.engine.execution.network import Network
from layerscope.engine.execution.steps import KeptNetwork
from layerscope.engine.experiment.specification import Experiment


def test_of_a_batch_the_asked_for_samples_are_kept_alone():
    experiment = Experiment(depth=1, width=4, batch=100)
    network, whole = KeptNetwork(experiment, 10), Network(experiment)
    for mine, every in ((network.x, whole.x), (network.target, whole.target)):
        assert mine.equal(every[:10])
        assert mine.untyped_storage().nbytes() == every.untyped_storage().nbytes() // 10


def test_the_moments_of_a_training_in_float64_count_at_their_own_width(monkeypatch):
    wide = Experiment(depth=1, width=1000, inputs=1000, batch=2, dtype="float64")
    asked = []
    monkeypatch.setattr(
        "layerscope.engine.diagnosis.learning.KeptNetwork", lambda *_: asked.append(1) or 1 / 0
    )
    monkeypatch.setattr("layerscope.engine.diagnosis.learning.cost", lambda _: Nothing)
    monkeypatch.setattr("layerscope.engine.diagnosis.learning.LITTLE_BYTES", 3 * 8 * 10**6 - 1)
    assert not Learning(0).by(wide, "Adam")  # three of a million numbers of eight bytes
    assert not asked


class Nothing:
    bytes = 0
