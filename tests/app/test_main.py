"""What the server does at its start, before anybody asks."""

from __future__ import annotations

from layerscope.app.main import VANISHING, import_everything
from layerscope.engine.basis.cancellation import never
from layerscope.engine.diagnosis.run import FixEvent, run
from layerscope.engine.foundations.calculus import derivative_of, differentiable
from layerscope.engine.theory.experiments import predict_experiment


def test_a_verified_fix_is_part_of_the_warm_up():
    assert any(isinstance(event, FixEvent) for event in run(VANISHING))


def test_what_only_some_pages_need_is_prepared_once():
    import_everything(never)
    derived, predictions = derivative_of.cache_info(), predict_experiment.cache_info()
    assert derived.currsize == len(differentiable())
    import_everything(never)
    assert derivative_of.cache_info().misses == derived.misses
    assert predict_experiment.cache_info().misses == predictions.misses


def test_a_stopping_server_prepares_nothing_more():
    asked = []

    def after_one():
        asked.append(None)
        return len(asked) > 1

    import_everything(after_one)
    assert len(asked) == 2
