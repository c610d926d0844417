"""What is ready in a worker before anybody asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from layerscope.app.preload import VANISHING, prepare
from layerscope.engine.diagnosis.run import FixEvent, run
from layerscope.engine.foundations.calculus import derivative_of, differentiable
from layerscope.engine.theory.experiments import predict_experiment


def test_a_verified_fix_is_part_of_the_warm_up():
    assert any(isinstance(event, FixEvent) for event in run(VANISHING))


def prepared():
    """In a thread of its own, which alone is then kept to one core."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(prepare).result()


@pytest.mark.slow
def test_what_only_some_pages_need_is_prepared_once():
    prepared()
    derived, predictions = derivative_of.cache_info(), predict_experiment.cache_info()
    assert derived.currsize == len(differentiable())
    prepared()
    assert derivative_of.cache_info().misses == derived.misses
    assert predict_experiment.cache_info().misses == predictions.misses
